"""Python applications at home on Amazon RDS.

``rdskit.connect`` gives a ``Database``; every exception is an ``RdskitError``.
"""

from rdskit.client.database import Database, connect
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
    PoolTimeout,
    QueryError,
    QueryTimeout,
    RdskitError,
    ReadOnlyError,
    SerializationError,
    StaleReadError,
    StatementError,
    TLSError,
)
from rdskit.kernel.ports import Credentials, Login, Result, Row

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
    "__version__",
    "connect",
]
