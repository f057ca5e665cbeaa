"""Server settings that an application chooses for its connections: ``connect(settings={…})``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from rdskit.errors import ConfigError
from rdskit.kernel.arguments import wrong
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.targets import Engine

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Setting

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_LEXICAL: Final = "rdskit reads the text of statements in the server's default lexical modes"
_ROLES: Final = "rdskit distinguishes writers from readers by it: connect to a reader endpoint to read only"
_LOGIN: Final = "it belongs to the login: log in as that user"
_TARGET: Final = "it is a part of the protocol, not a setting: put it into the target"
_BINARY_LOG: Final = "rdskit reads a replica's progress from the binary log"
_POSTGRES: Final = {
    "application_name": "pass application_name=NAME to rdskit.connect",
    "client_encoding": "the driver needs UTF8",
    "standard_conforming_strings": _LEXICAL,
    "default_transaction_read_only": _ROLES,
    "transaction_read_only": _ROLES,
    "role": _LOGIN,
    "session_authorization": _LOGIN,
    **dict.fromkeys(("user", "database", "options", "replication"), _TARGET),
}
_FAMILY: Final = {
    "autocommit": "each statement outside a transaction block commits by itself",
    "completion_type": "COMMIT must not begin another transaction or end the session",
    "sql_mode": f"{_LEXICAL}, and strict modes prevent truncated values",
    "time_zone": "rdskit reads TIMESTAMP columns as UTC",
    "sql_select_limit": "it would truncate the results of rdskit's own queries",
    "transaction_read_only": _ROLES,
    "tx_read_only": _ROLES,
    "sql_log_bin": _BINARY_LOG,
    "gtid_next": _BINARY_LOG,
}
#: Reserved prefixes of names, and the reasons.
_PREFIXES: Final = {
    Engine.POSTGRES: {"_pq_.": _TARGET, "rdskit.": "names that begin with 'rdskit.' are rdskit's own"},
    Engine.MYSQL: dict.fromkeys(("character_set_", "collation_"), "connections use utf8mb4"),
}


def checked_settings(settings: Any) -> tuple[Setting, ...]:
    """Check the argument ``settings=`` and return pairs of name and value.

    Args:
        settings: the application's mapping, or None for none.

    Raises:
        ConfigError: they are not a mapping, a name is not valid, or a value cannot be sent. The message never quotes a
            value that is a text.
    """
    if settings is None:
        return ()
    if not isinstance(settings, Mapping):
        raise wrong("settings", settings, "give a dict, as in settings={'lock_timeout': '2s'}")
    return tuple((_checked_name(name), _checked_value(str(name), value)) for name, value in settings.items())


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise wrong("settings[…]", name, "give the name of a setting as a str")
    if not _NAME.fullmatch(name):
        raise ConfigError(f"settings: {name!r} is not a name of a setting: write letters, digits, _ and dots only")
    return name


def _checked_value(name: str, value: Any) -> str | int | float:
    if not isinstance(value, str | int | float):  # a bool is an int, and allowed
        raise ConfigError(f"settings[{name!r}] is of type {type(value).__name__}: give a str, a number or a bool")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"settings[{name!r}]={value} is not a number that a server accepts: give a finite one")
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= each <= "\udfff" for each in value)):
        raise ConfigError(f"settings[{name!r}] has a NUL character or a lone surrogate: leave it out")
    return value


def refuse_reserved(settings: tuple[Setting, ...], engine: Engine) -> None:
    """Raise if a setting is reserved for rdskit itself.

    Args:
        settings: checked settings.
        engine: the target's engine.

    Raises:
        ConfigError: a setting is reserved; the message has the reason.
    """
    postgres = engine is Engine.POSTGRES
    reserved = _POSTGRES if postgres else _FAMILY
    prefixes = _PREFIXES[Engine.POSTGRES if postgres else Engine.MYSQL]
    for name, _ in settings:
        lowered = name.lower()
        by_prefix = next((why for prefix, why in prefixes.items() if lowered.startswith(prefix)), None)
        if (why := reserved.get(lowered, by_prefix)) is not None:
            raise ConfigError(f"settings: {name!r} cannot be chosen: {why}")


def as_start_up_parameters(settings: tuple[Setting, ...]) -> dict[str, str]:
    """Return settings as parameters of PostgreSQL's startup message; RESET ALL returns to them.

    Source: PostgreSQL manual, "Message Formats", StartupMessage, and "RESET".
    """
    return {name: _as_text(value) for name, value in settings}


def _as_text(value: str | float) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def as_assignments(settings: tuple[Setting, ...]) -> str:
    """Return the SET statement for settings of a MySQL or MariaDB session; empty where there are none.

    Texts are escaped for a session without NO_BACKSLASH_ESCAPES, so the session must be set up before.
    """
    return f"set {', '.join(f'session {name} = {_as_literal(value)}' for name, value in settings)}" if settings else ""


def _as_literal(value: str | float) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "''")
        return f"'{escaped}'"
    return str(int(value)) if isinstance(value, bool) else str(value)


def setting_refused(endpoint: Endpoint, words: str) -> DriverError:
    """Return the error for settings that the server does not know or accept.

    Args:
        endpoint: the host.
        words: the server's message, sanitized; it names the setting.
    """
    message = f"{endpoint} refused settings=: {words}; correct the name or the value, or leave the setting out"
    return DriverError(Failure.REFUSED, ConfigError(message))


def settings_pin(endpoint: Endpoint) -> DriverError:
    """Return the error for settings behind a proxy, which would pin every session that has some."""
    message = (
        f"settings= cannot be used with {endpoint}, where sessions keep no state that an RDS Proxy would pin: put them "
        "into the proxy's initialization query, or set them for the user with ALTER ROLE … SET"
    )
    return DriverError(Failure.REFUSED, ConfigError(message))
