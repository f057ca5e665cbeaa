"""Parameter groups of RDS for MySQL and MariaDB, translated for a real server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.engines.mysql_options import canonical
from rdskit.local.fleet.translation import Translation, is_on, why_formula_is_ignored

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUIRE_TLS: Final = "require_secure_transport"

#: RDS lets nobody change these; they hold the fleet together.
KEPT_BY_RDS: Final = re.compile(
    r"basedir|bind_address|datadir|enforce_gtid_consistency|gtid_(domain_id|mode|strict_mode)|init_(file|rpl_role)"
    r"|log_bin(_basename|_index)?|log_(replica|slave)_updates|mysqlx.*|pid_file|plugin_(dir|load|load_add)|port"
    r"|(super_)?read_only|relay_log(_.*)?|report_.*|rpl_semi_sync_.*|secure_file_priv|server_id|server_uuid"
    r"|skip_(networking|replica_start|slave_start)|socket|tmpdir"
)
# The endpoint speaks TLS in the server's place, and its log goes to a file of ours.
_ELSEWHERE: Final = re.compile(rf"{REQUIRE_TLS}|ssl_.*|tls_.*|log_error.*|(general_log|slow_query_log)_file|log_output")
_UTC: Final = "+00:00"


def translate(parameters: Mapping[str, str]) -> Translation:
    """Translate a parameter group.

    Args:
        parameters: what the group sets; ``require_secure_transport`` is the endpoint's.

    Raises:
        LocalError: a parameter that RDS lets nobody change.
    """
    given = {canonical(name): value for name, value in parameters.items()}
    kept = sorted(name for name in given if KEPT_BY_RDS.fullmatch(name))
    if kept:
        raise LocalError(f"parameter {kept[0]} cannot be modified: remove it from the parameter group")
    ignored = {name: reason for name, value in given.items() if (reason := _no_effect(name, value))}
    settings = dict(_option(name, value) for name, value in given.items() if name not in ignored)
    return Translation(settings, is_on(given, REQUIRE_TLS), ignored)


def _no_effect(name: str, value: str) -> str:
    if _ELSEWHERE.fullmatch(name):
        return "TLS and logs are not the local server's own"
    return why_formula_is_ignored(value)


def _option(name: str, value: str) -> tuple[str, str]:
    """A parameter as the option file has it."""
    if name == "time_zone":
        return "default_time_zone", _UTC if value.upper() == "UTC" else value
    return name, value
