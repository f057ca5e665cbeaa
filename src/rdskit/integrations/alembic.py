"""Alembic on RDS: one process migrates a database at a time, whether it uses Alembic or ``rdskit migrate``."""

from __future__ import annotations

import contextlib
import random
import time
from typing import TYPE_CHECKING

import sqlalchemy
from sqlalchemy import exc

from rdskit.errors import FailoverError, QueryTimeout
from rdskit.evolve.migrations.lock import MYSQL_LOCK, POSTGRES_LOCK, refuse_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["migration_lock"]


@contextlib.contextmanager
def migration_lock(engine: sqlalchemy.Engine, *, wait: float = 60.0) -> Iterator[None]:
    """Hold the migration lock of a database while the block runs.

    It is the lock of ``rdskit migrate up``, on a connection of its own. Alembic itself has no lock: two concurrent
    upgrades read the same version and run the same revision.

    Args:
        engine: one for PostgreSQL, MySQL or MariaDB, with a pool of at least two connections.
        wait: seconds to try for the lock.

    Raises:
        ConfigError: the host is an RDS Proxy, whose sessions are shared.
        QueryTimeout: another process held it all the time.
        FailoverError: the connection that held it was lost during the block, so another process may have had it.
    """
    refuse_proxy(engine.url.host or "")
    take, release = POSTGRES_LOCK if engine.dialect.name == "postgresql" else MYSQL_LOCK
    with engine.connect() as opened:
        connection = opened.execution_options(isolation_level="AUTOCOMMIT")
        deadline = time.monotonic() + wait
        while not connection.scalar(sqlalchemy.text(take)):
            if time.monotonic() > deadline:
                raise QueryTimeout(
                    f"another process has been migrating this database for {wait:g} s: wait for it, or raise wait="
                )
            time.sleep(0.1 + random.random() * 0.4)  # noqa: S311 - jitter, not a secret
        try:
            yield
        except BaseException:
            with contextlib.suppress(exc.DBAPIError):  # a lost connection has lost the lock as well
                connection.execute(sqlalchemy.text(release))
            raise
        try:
            connection.execute(sqlalchemy.text(release))
        except exc.DBAPIError as error:
            raise FailoverError(
                "the connection with the migration lock was lost: another process may have migrated at the same time; "
                "compare `alembic current` with the schema"
            ) from error
