"""What a pooled connection must pass before it is lent: it is still there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError

from rdskit.integrations.sqlalchemy.drivers import is_gone

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection


def watch_checkouts(engine: Engine) -> None:
    """Have no statement sent on a connection that ended while it was idle; no round trip is spent on that."""

    def verify(connection: DBAPIConnection, _entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        if is_gone(engine.dialect, connection):
            raise InvalidatePoolError("the server ended this connection while it was idle")

    event.listen(engine, "checkout", verify)
