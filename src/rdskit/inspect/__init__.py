"""Read-only facts about a database, the same on every engine: its schema, its sizes, what holds and waits for locks."""

from rdskit.inspect.locks import LockWait, LongTransaction, lock_waits, long_transactions
from rdskit.inspect.names import schema_names
from rdskit.inspect.schema import schema, schema_hash
from rdskit.inspect.sizes import TableSize, table_size, table_sizes
from rdskit.inspect.version import Version, server_version

__all__ = [
    "LockWait",
    "LongTransaction",
    "TableSize",
    "Version",
    "lock_waits",
    "long_transactions",
    "schema",
    "schema_hash",
    "schema_names",
    "server_version",
    "table_size",
    "table_sizes",
]
