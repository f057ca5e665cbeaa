"""Python applications at home on Amazon RDS.

``rdskit.connect`` gives a ``Database``; every exception is an ``RdskitError``.
"""

from typing import TYPE_CHECKING, Any

from rdskit.client.database import connect
from rdskit.errors import (
    AuthenticationError,
    AwsError,
    CircuitOpen,
    ConfigError,
    ConnectError,
    DeadlockError,
    FailoverError,
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
    SerializationError,
    StaleReadError,
    StatementError,
    TLSError,
    TooManyConnections,
)
from rdskit.kernel.ports import Credentials, Login, Result, Row

if TYPE_CHECKING:
    from rdskit.client.database.database import Database
    from rdskit.client.statements import Page
    from rdskit.dbapi import dbapi_connect

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
    "IntegrityError",
    "LocalError",
    "Login",
    "NoWriterError",
    "OutcomeUnknown",
    "Page",
    "PlanError",
    "PoolTimeout",
    "QueryError",
    "QueryTimeout",
    "RdskitError",
    "ReadOnlyError",
    "Result",
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
    if name == "Database":
        from rdskit.client.database.database import Database  # noqa: PLC0415

        return Database
    if name == "Page":
        from rdskit.client.statements import Page  # noqa: PLC0415

        return Page
    if name == "dbapi_connect":  # starts a background loop, which asynchronous code never needs
        from rdskit.dbapi import dbapi_connect  # noqa: PLC0415

        return dbapi_connect
    raise AttributeError(f"module 'rdskit' has no attribute {name!r}")
