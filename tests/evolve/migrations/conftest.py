"""A fresh database on each engine, and a directory of migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import rdskit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

USERS = """\
-- up
create table users (id bigint primary key, name varchar(100) not null);
insert into users values (1, 'Ada');

-- down
drop table users;
"""
EMAIL = """\
-- up
alter table users add email varchar(100);
create index users_email on users (email);

-- down
drop index users_email{on};
alter table users drop column email;
"""
NOTES = """\
-- up
create table notes (id bigint primary key);

-- down
drop table notes;
"""


@pytest.fixture(params=["database", "mariadb_database", "mysql_database"], ids=["postgresql", "mariadb", "mysql"])
def target(request: pytest.FixtureRequest) -> TestDatabase | FamilyDatabase:
    fresh: TestDatabase | FamilyDatabase = request.getfixturevalue(request.param)
    return fresh


@pytest.fixture
async def db(target: TestDatabase | FamilyDatabase) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(target.url, tls="off", min_size=0, max_size=5, readers="off") as db:
        yield db


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Write three migrations that all products take."""
    found = tmp_path / "migrations"
    found.mkdir()
    (found / "20261130_1200_users.sql").write_text(USERS)
    (found / "20261130_1300_email.postgres.sql").write_text(EMAIL.format(on=""))
    (found / "20261130_1300_email.mysql.sql").write_text(EMAIL.format(on=" on users"))
    (found / "20261130_1400_notes.sql").write_text(NOTES)
    return found
