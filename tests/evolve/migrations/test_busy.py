"""A migration of a busy table: nothing waits longer than the lock timeout, and it is done once its turn comes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from rdskit.errors import ConfigError
from rdskit.evolve.migrations import Direction, Settings, up
from rdskit.evolve.migrations.lock import refuse_proxy

if TYPE_CHECKING:
    from pathlib import Path

    import rdskit

LOCK_TIMEOUT = 1.0  # seconds: MySQL knows whole ones only
SLACK = (
    10.0  # seconds: the gate asserts no speed; without a lock timeout the writer would wait for the whole transaction
)


async def test_a_ddl_behind_a_long_transaction_holds_up_no_one_for_long(db: rdskit.Database, directory: Path) -> None:
    await up(db, directory, to="20261130_1200")
    waited: list[float] = []
    told: list[str] = []
    done = asyncio.Event()

    async def write() -> None:
        while not done.is_set():
            started = time.monotonic()
            await db.execute("update users set name = 'x' where id = 1")
            waited.append(time.monotonic() - started)
            await asyncio.sleep(0.02)

    def progress(version: str, direction: Direction, text: str) -> None:
        del version, direction
        told.append(text)

    async with db.transaction(isolation="repeatable read") as reader:
        await reader.fetch_all("select * from users where id = 2")  # holds the table's lock until the end
        writer = asyncio.create_task(write())
        settings = Settings(lock_timeout=LOCK_TIMEOUT, progress=progress)
        migration = asyncio.create_task(up(db, directory, to="20261130_1300", settings=settings))
        async with asyncio.timeout(60):
            while sum("trying again" in text for text in told) < 2:
                assert not migration.done()
                await asyncio.sleep(0.05)
    assert await migration == ["20261130_1300_email"]
    done.set()
    await writer
    assert max(waited) < LOCK_TIMEOUT + SLACK, max(waited)
    assert sum(wait > LOCK_TIMEOUT / 2 for wait in waited) >= 1, "the DDL never stood before the writer"


@pytest.mark.parametrize("target", ["mariadb_database", "mysql_database"], indirect=True)
async def test_on_mysql_a_copy_of_a_large_table_is_refused_with_advice(
    db: rdskit.Database, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdskit.evolve.migrations.statements._SMALL", 0)
    await up(db, directory)
    file = directory / "20261130_1500_type.sql"
    file.write_text("-- up\nalter table users modify name int not null;\n")
    with pytest.raises(Exception, match="only by copying all of it"):
        await up(db, directory)
    file.write_text(
        "-- up\n-- waive table-copy: the table is small\nalter table users modify name varchar(200) not null;\n"
    )
    assert await up(db, directory) == ["20261130_1500_type"]


def test_an_rds_proxy_is_refused() -> None:
    with pytest.raises(ConfigError, match="is an RDS Proxy"):
        refuse_proxy("shop.proxy-abc123.eu-west-1.rds.amazonaws.com")
    refuse_proxy("shop.abc123.eu-west-1.rds.amazonaws.com")
