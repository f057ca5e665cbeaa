"""Parameter groups as RDS has them, translated for a real PostgreSQL server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.fleet.translation import Translation, is_on, why_formula_is_ignored

if TYPE_CHECKING:
    from collections.abc import Mapping

# RDS lets nobody change these; they hold the fleet together.
_OURS: Final = frozenset(
    {
        "archive_command",
        "archive_mode",
        "config_file",
        "data_directory",
        "fsync",
        "hba_file",
        "hot_standby",
        "listen_addresses",
        "port",
        "primary_conninfo",
        "synchronous_standby_names",
        "unix_socket_directories",
        "wal_level",
    }
)
# The endpoint speaks TLS in the server's place, and its log goes to a file of ours.
_ELSEWHERE: Final = re.compile(r"^(ssl|ssl_.*|log_filename|logging_collector|log_destination|log_rotation_.*)$")


def translate(parameters: Mapping[str, str]) -> Translation:
    """Translate a parameter group.

    Args:
        parameters: what the group sets; ``rds.force_ssl`` is the endpoint's.

    Raises:
        LocalError: a parameter that RDS lets nobody change.
    """
    ours = sorted(_OURS.intersection(parameters))
    if ours:
        raise LocalError(f"parameter {ours[0]} cannot be modified: remove it from the parameter group")
    ignored = {name: reason for name, value in parameters.items() if (reason := _no_effect(name, value))}
    settings = {name: value for name, value in parameters.items() if name not in ignored}
    if is_on(parameters, "rds.logical_replication"):
        settings["wal_level"] = "logical"
    return Translation(settings, is_on(parameters, "rds.force_ssl"), ignored)


def _no_effect(name: str, value: str) -> str:
    if _ELSEWHERE.match(name):
        return "TLS and logs are not the local server's own"
    return why_formula_is_ignored(value)
