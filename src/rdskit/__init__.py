"""Connect Python applications to Amazon RDS.

``rdskit.connect`` returns a ``Database``; every exception is an ``RdskitError``.
"""

from typing import TYPE_CHECKING, Any

from rdskit.client.api import connect
from rdskit.errors import (
    AuthenticationError,
    AwsError,
    CircuitOpen,
    ConfigError,
    ConnectError,
    DeadlockError,
    FailoverError,
    HookError,
    IntegrityError,
    LocalError,
    MustRefetch,
    NoWriterError,
    OutcomeUnknown,
    PlanError,
    PoolTimeout,
    QueryError,
    QueryTimeout,
    RdskitError,
    ReadOnlyError,
    ResultError,
    SerializationError,
    StaleReadError,
    StatementError,
    TLSError,
    TooManyConnections,
)
from rdskit.kernel.ports import Credentials, Login, Result, Row

if TYPE_CHECKING:
    from rdskit.client.api import Database, Health, HeldConnection, Page, Session, Stats, Transaction
    from rdskit.dbapi import dbapi_connect
    from rdskit.kernel.choices import Consistency, Isolation, TlsMode
    from rdskit.kernel.codecs import JSON_NULL, Codec, JsonNull, JsonString
    from rdskit.kernel.notifications import Notification
    from rdskit.kernel.topology import Topology
    from rdskit.kernel.values import PgDate, PgInterval, PgTime, PgTimestamp

__version__ = "0.1.0"

_LOADED_LATER = {
    **dict.fromkeys(
        ("Database", "Health", "HeldConnection", "Page", "Session", "Stats", "Transaction"), "rdskit.client.api"
    ),
    **dict.fromkeys(("Consistency", "Isolation", "TlsMode"), "rdskit.kernel.choices"),
    **dict.fromkeys(("JSON_NULL", "Codec", "JsonNull", "JsonString"), "rdskit.kernel.codecs"),
    **dict.fromkeys(("PgDate", "PgInterval", "PgTime", "PgTimestamp"), "rdskit.kernel.values"),
    "Notification": "rdskit.kernel.notifications",
    "Topology": "rdskit.kernel.topology",
    "dbapi_connect": "rdskit.dbapi",
}

__all__ = [
    "JSON_NULL",
    "AuthenticationError",
    "AwsError",
    "CircuitOpen",
    "Codec",
    "ConfigError",
    "ConnectError",
    "Consistency",
    "Credentials",
    "Database",
    "DeadlockError",
    "FailoverError",
    "Health",
    "HeldConnection",
    "HookError",
    "IntegrityError",
    "Isolation",
    "JsonNull",
    "JsonString",
    "LocalError",
    "Login",
    "MustRefetch",
    "NoWriterError",
    "Notification",
    "OutcomeUnknown",
    "Page",
    "PgDate",
    "PgInterval",
    "PgTime",
    "PgTimestamp",
    "PlanError",
    "PoolTimeout",
    "QueryError",
    "QueryTimeout",
    "RdskitError",
    "ReadOnlyError",
    "Result",
    "ResultError",
    "Row",
    "SerializationError",
    "Session",
    "StaleReadError",
    "StatementError",
    "Stats",
    "TLSError",
    "TlsMode",
    "TooManyConnections",
    "Topology",
    "Transaction",
    "__version__",
    "connect",
    "dbapi_connect",
]


if not TYPE_CHECKING:  # a type checker knows every name from the imports above, and reports any other

    def __getattr__(name: str) -> Any:
        # These are needed for annotations and isinstance only; loading them with the package would double the cost of
        # `import rdskit`. dbapi_connect starts a background loop, which asynchronous code never needs.
        module = _LOADED_LATER.get(name)
        if module is None:
            raise AttributeError(f"module 'rdskit' has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415

        return getattr(import_module(module), name)
