"""A database with two accounts and our tables, on each engine in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import rdskit
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase


@pytest.fixture(params=["database", "mariadb_database", "mysql_database"], ids=["postgresql", "mariadb", "mysql"])
def target(request: pytest.FixtureRequest) -> TestDatabase | FamilyDatabase:
    """Return a fresh database."""
    fresh: TestDatabase | FamilyDatabase = request.getfixturevalue(request.param)
    return fresh


@pytest.fixture
async def db(target: TestDatabase | FamilyDatabase) -> AsyncIterator[rdskit.Database]:
    """Yield a connected database: two accounts with 100 each, and the tables of ``setup``."""
    async with rdskit.connect(target.url, tls="off", min_size=1, max_size=8) as db:
        await db.execute("create table account (id int primary key, balance int not null check (balance >= 0))")
        await db.execute("insert into account values (1, 100), (2, 100)")
        await db.setup()
        yield db
        await eventually(lambda: _all_idle(db))


async def _all_idle(db: rdskit.Database) -> bool:
    return db.stats().writer.in_use == 0
