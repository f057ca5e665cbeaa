"""Python applications at home on Amazon RDS.

``rdskit.connect`` gives a ``Database``; every exception is an ``RdskitError``.
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
    from rdskit.client.api import Database, HeldConnection, Page
    from rdskit.dbapi import dbapi_connect
    from rdskit.kernel.notifications import Notification
    from rdskit.kernel.values import PgDate, PgInterval, PgTime, PgTimestamp

__version__ = "0.1.0"

__all__ = [
    "AuthenticationError",
    "AwsError",
    "CircuitOpen",
    "ConfigError",
    "ConnectError",
    "Credentials",
    "Database",
    "DeadlockError",
    "FailoverError",
    "HeldConnection",
    "HookError",
    "IntegrityError",
    "LocalError",
    "Login",
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
    "StaleReadError",
    "StatementError",
    "TLSError",
    "TooManyConnections",
    "__version__",
    "connect",
    "dbapi_connect",
]


def __getattr__(name: str) -> Any:
    # The classes are needed for annotations and isinstance only; loading them with the package would double the cost of
    # `import rdskit`.
    if name in {"Database", "HeldConnection", "Page"}:
        from rdskit.client import api  # noqa: PLC0415

        return getattr(api, name)
    if name == "Notification":
        from rdskit.kernel.notifications import Notification  # noqa: PLC0415

        return Notification
    if name in {"PgDate", "PgInterval", "PgTime", "PgTimestamp"}:
        from rdskit.kernel import values  # noqa: PLC0415

        return getattr(values, name)
    if name == "dbapi_connect":  # starts a background loop, which asynchronous code never needs
        from rdskit.dbapi import dbapi_connect  # noqa: PLC0415

        return dbapi_connect
    raise AttributeError(f"module 'rdskit' has no attribute {name!r}")
