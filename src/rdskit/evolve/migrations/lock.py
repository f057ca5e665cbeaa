"""The lock of one process that migrates a database: on a connection of its own, asked for and never waited for.

A session that waits for an advisory lock holds a snapshot. ``CREATE INDEX CONCURRENTLY`` of the process that has the
lock waits for that snapshot, so that both would wait for ever. The lock is tried again and again instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Final

from rdskit.client.api import dialect_of
from rdskit.errors import ConfigError, FailoverError, QueryTimeout
from rdskit.kernel.rds_names import EndpointKind, read_name
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.client.api import Database, HeldConnection

#: One lock for each schema. PostgreSQL's belong to the database, MySQL's names are short and shared by all databases.
POSTGRES_LOCK: Final = (
    "select pg_try_advisory_lock(hashtextextended('rdskit migrations ' || coalesce(current_schema(), ''), 0))",
    "select pg_advisory_unlock_all()",
)
_NAME: Final = "concat('rdskit:', left(sha2(concat_ws('/', database(), 'rdskit migrations'), 256), 40))"
MYSQL_LOCK: Final = (f"select get_lock({_NAME}, 0)", f"select release_lock({_NAME})")


class MigrationLock:
    """The held migration lock.

    Args:
        connection: the connection that holds it.
    """

    def __init__(self, connection: HeldConnection) -> None:
        self._connection = connection

    async def verify(self) -> None:
        """Return if the lock is still held: its connection answers.

        Raises:
            FailoverError: it does not; another process may have the lock.
        """
        await self._connection.fetch_value("select 1", timeout=5.0)


@contextlib.asynccontextmanager
async def migration_lock(db: Database, wait: float) -> AsyncIterator[MigrationLock]:
    """Hold the lock for the length of the block.

    Args:
        db: the database, or a view of it with a schema.
        wait: seconds to try.

    Raises:
        ConfigError: the host is an RDS Proxy, whose sessions are shared.
        QueryTimeout: another process held it all the time.
    """
    take, release = POSTGRES_LOCK if dialect_of(db) is Dialect.POSTGRES else MYSQL_LOCK
    async with db.connection() as connection:
        refuse_proxy(connection.endpoint.host)
        deadline = asyncio.get_running_loop().time() + wait
        while not await connection.fetch_value(take):
            if asyncio.get_running_loop().time() > deadline:
                raise QueryTimeout(
                    f"another process has been migrating this database for {wait:g} s: wait for it, or raise --wait"
                )
            await asyncio.sleep(0.1 + random.random() * 0.4)  # noqa: S311 - jitter, not a secret
        try:
            yield MigrationLock(connection)
        finally:
            with contextlib.suppress(FailoverError):  # the server has released the lock with the lost connection
                await connection.fetch_value(release)


def refuse_proxy(host: str) -> None:
    """Refuse a host whose sessions are shared.

    Raises:
        ConfigError: it is an RDS Proxy.
    """
    name = read_name(host)
    if name is not None and name.kind is EndpointKind.PROXY:
        raise ConfigError(
            f"{host} is an RDS Proxy, which shares one server session among many clients: a lock held there protects "
            "nothing. Migrate through the cluster's or the instance's own endpoint"
        )
