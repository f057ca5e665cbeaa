"""A fresh database on each engine in turn."""

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
async def items(target: TestDatabase | FamilyDatabase) -> AsyncIterator[rdskit.Database]:
    """Yield a connected database with an empty table ``items``, and no connection in use at the end."""
    async with rdskit.connect(target.url, tls="off", min_size=1, max_size=3) as db:
        await db.execute("create table items (id bigint primary key, name varchar(100) unique, price double precision)")
        yield db
        await eventually(lambda: is_at_rest(db))


async def is_at_rest(db: rdskit.Database) -> bool:
    """Return whether none of its connections is in use."""
    return db.stats().writer.in_use == 0
