"""``migration_lock``: one process migrates at a time, with Alembic or with ``rdskit migrate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy

import rdskit
from rdskit.evolve.migrations import lock
from rdskit.integrations.alembic import migration_lock

if TYPE_CHECKING:
    from sqlalchemy import URL


def own_target(url: URL) -> str:
    plain = url.set(drivername=url.get_backend_name(), query={})
    return plain.render_as_string(hide_password=False)


async def test_it_keeps_alembic_and_rdskit_migrate_apart(sync_url: URL) -> None:
    engine = sqlalchemy.create_engine(sync_url)
    async with rdskit.connect(own_target(sync_url), tls="off", min_size=0) as db:
        with migration_lock(engine):
            with pytest.raises(rdskit.QueryTimeout, match="raise wait="), migration_lock(engine, wait=0):
                pass
            with pytest.raises(rdskit.QueryTimeout, match="another process"):
                async with lock.migration_lock(db, 0):
                    pass
        async with lock.migration_lock(db, 0):
            with pytest.raises(rdskit.QueryTimeout), migration_lock(engine, wait=0):
                pass
    with pytest.raises(ZeroDivisionError), migration_lock(engine, wait=0):
        raise ZeroDivisionError
    with migration_lock(engine, wait=0):
        pass
    engine.dispose()


def test_a_lock_that_was_lost_is_told(sync_url: URL) -> None:
    engine = sqlalchemy.create_engine(sync_url)
    end = (
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where pid in (select pid from pg_locks where "
        "locktype = 'advisory') and datname = current_database()"
    )
    with pytest.raises(rdskit.FailoverError, match="lock was lost"), migration_lock(engine), engine.connect() as other:
        if engine.dialect.name == "postgresql":
            other.execute(sqlalchemy.text(end))
        else:
            name = "concat('rdskit:', left(sha2(concat_ws('/', database(), 'rdskit migrations'), 256), 40))"
            holder = other.scalar(sqlalchemy.text(f"select is_used_lock({name})"))
            other.execute(sqlalchemy.text(f"kill {holder}"))
    engine.dispose()


def test_a_proxy_is_refused() -> None:
    engine = sqlalchemy.create_engine("postgresql+psycopg://app.proxy-abc123.eu-west-1.rds.amazonaws.com/shop")
    with pytest.raises(rdskit.ConfigError, match="RDS Proxy"), migration_lock(engine):
        pass
