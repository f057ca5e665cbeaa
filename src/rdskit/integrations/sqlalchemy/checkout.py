"""Verify pooled connections at checkout."""

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
    """Discard connections that ended while idle, at checkout and without a round trip."""

    def verify(connection: DBAPIConnection, _entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        if is_gone(engine.dialect, connection):
            raise InvalidatePoolError("the server ended this connection while it was idle")

    event.listen(engine, "checkout", verify)
