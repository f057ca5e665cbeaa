"""PostgreSQL through asyncpg.

Statements are always prepared by the server, so that a value is never part of a text. What asyncpg changes on the way
is refused, converted or read here: see ``arguments``, ``arrays`` and ``values``.
"""

from rdskit.drivers.postgres.connection import PostgresConnection
from rdskit.drivers.postgres.opening import AsyncpgDriver
from rdskit.drivers.postgres.row import Row

__all__ = ["AsyncpgDriver", "PostgresConnection", "Row"]
