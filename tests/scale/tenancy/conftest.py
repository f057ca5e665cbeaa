"""Databases for tenants, on each engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import rdskit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase


@pytest.fixture(params=["mariadb_database", "mysql_database"], ids=["mariadb", "mysql"])
def family(request: pytest.FixtureRequest) -> FamilyDatabase:
    fresh: FamilyDatabase = request.getfixturevalue(request.param)
    return fresh


@pytest.fixture(params=["database", "mariadb_database", "mysql_database"], ids=["postgresql", "mariadb", "mysql"])
def target(request: pytest.FixtureRequest) -> TestDatabase | FamilyDatabase:
    fresh: TestDatabase | FamilyDatabase = request.getfixturevalue(request.param)
    return fresh


@pytest.fixture
async def db(target: TestDatabase | FamilyDatabase) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(target.url, tls="off", min_size=0, max_size=8, readers="off") as opened:
        yield opened
