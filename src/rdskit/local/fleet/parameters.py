"""Parameter groups as RDS has them, translated for a real PostgreSQL server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMULA: Final = re.compile(r"\{|^\s*(GREATEST|LEAST|SUM|log)\s*\(", re.IGNORECASE)
_TRUE: Final = ("1", "on", "true", "yes")

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


@dataclass(frozen=True, slots=True)
class Translation:
    """A parameter group for a local server.

    Attributes:
        settings: for ``postgresql.conf``. RDS gives numbers in the unit that PostgreSQL assumes (8 kB pages,
            milliseconds…), so they need no change.
        require_tls: ``rds.force_ssl``; the endpoint sees to it.
        ignored: parameter → why it has no effect here.
    """

    settings: Mapping[str, str]
    require_tls: bool
    ignored: Mapping[str, str]


def translate(parameters: Mapping[str, str]) -> Translation:
    """Translate a parameter group.

    Args:
        parameters: what the group sets.

    Raises:
        LocalError: a parameter that RDS lets nobody change.
    """
    ours = sorted(_OURS.intersection(parameters))
    if ours:
        raise LocalError(f"parameter {ours[0]} cannot be modified: remove it from the parameter group")
    ignored = {name: reason for name, value in parameters.items() if (reason := _no_effect(name, value))}
    settings = {name: value for name, value in parameters.items() if name not in ignored}
    if _is_on(parameters, "rds.logical_replication"):
        settings["wal_level"] = "logical"
    return Translation(settings, _is_on(parameters, "rds.force_ssl"), ignored)


def _no_effect(name: str, value: str) -> str:
    if _ELSEWHERE.match(name):
        return "TLS and logs are not the local server's own"
    if _FORMULA.search(value):
        return f"the formula {value} depends on an instance class, which a local server has not: the default stays"
    return ""


def _is_on(parameters: Mapping[str, str], name: str) -> bool:
    return parameters.get(name, "0").strip().lower() in _TRUE
