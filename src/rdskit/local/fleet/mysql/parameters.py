"""Translate parameter groups of RDS for MySQL and MariaDB for a real server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.engines.mysql.options import canonical
from rdskit.local.fleet.translation import Translation, is_on, why_formula_is_ignored

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUIRE_TLS: Final = "require_secure_transport"

#: RDS does not let users change these. They control replication, name files, libraries or programs, or lift limits.
KEPT_BY_RDS: Final = re.compile(
    r"basedir|bind_address|datadir|enforce_gtid_consistency|gtid_(domain_id|mode|strict_mode)|init_(file|rpl_role)"
    r"|init_(slave|replica)|log_bin(_basename|_index)?|log_(replica|slave)_updates|mysqlx.*|pid_file|port"
    r"|(super_)?read_only|relay_log(_.*)?|report_.*|rpl_semi_sync_.*|secure_.*|server_id|server_uuid"
    r"|skip_(?!name_resolve|show_database).*|socket|.*tmpdir|log_error.*|.*_file(name)?"
    r"|.*_(dir|dirs|directory|directories)|.*_path|.*_basename|.*_libraries|(early_)?plugin.*|.*_plugins?_(load|dir|maturity).*|component.*|wsrep.*"
    r"|ssl_.*|tls_(?!version).*|admin_.*|keyring.*|.*_public_key.*|.*_private_key.*|auto_generate_certs|feedback.*"
    r"|server_audit.*|allow_suspicious_udfs|chroot|user|language|core_file|debug.*|proxy_protocol.*|named_pipe.*"
    r"|partial_revokes|mandatory_roles|des_key_file|external_locking|myisam_recover.*|old_passwords"
)
# Accepted without effect: the endpoint speaks TLS instead of the server, and the server's log goes to the fleet's file.
_ELSEWHERE: Final = re.compile(rf"{REQUIRE_TLS}|tls_version|log_output")
_UTC: Final = "+00:00"


def translate(parameters: Mapping[str, str]) -> Translation:
    """Translate a parameter group.

    Args:
        parameters: values that the group sets. ``require_secure_transport`` is applied by the endpoint.

    Raises:
        LocalError: a parameter that RDS does not let users change, or a value that it does not allow.
    """
    given = {canonical(name): value for name, value in parameters.items()}
    kept = sorted(name for name in given if KEPT_BY_RDS.fullmatch(name))
    if kept:
        raise LocalError(f"parameter {kept[0]} cannot be modified: remove it from the parameter group")
    for name, value in given.items():
        # A line break would end the option and begin another one in the option file.
        if any(ord(character) < ord(" ") for character in value):
            raise LocalError(f"parameter {name}: the value has a control character: remove it")
    ignored = {name: reason for name, value in given.items() if (reason := _no_effect(name, value))}
    settings = dict(_option(name, value) for name, value in given.items() if name not in ignored)
    return Translation(settings, is_on(given, REQUIRE_TLS), ignored)


def _no_effect(name: str, value: str) -> str:
    if _ELSEWHERE.fullmatch(name):
        return "TLS and logs are not the local server's own"
    return why_formula_is_ignored(value)


def _option(name: str, value: str) -> tuple[str, str]:
    """Return a parameter's name and value for the option file."""
    if name == "time_zone":
        # The option has another name than its variable. "UTC" needs loaded time zone tables; the offset does not.
        return "default_time_zone", _UTC if value.upper() == "UTC" else value
    return name, value
