"""Shards on real servers: databases of one server, which is all that a router can see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.scale import Shards

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

NAMES = ["s1", "s2", "s3", "s4", "s5"]
USERS = "create table users (id bigint primary key, bucket int not null, name varchar(50), n int)"
ORDERS = "create table orders (id varchar(36) primary key, user_id bigint not null, bucket int not null, total int)"


#: For tests of what is the same on every engine: creating databases takes most of their time.
ON_POSTGRES = pytest.mark.parametrize("place", ["database"], indirect=True, ids=["postgresql"])


@dataclass(frozen=True)
class Place:
    """Where the shards of a test are.

    Attributes:
        targets: name → URL.
        postgres: whether it is PostgreSQL.
    """

    targets: dict[str, str]
    postgres: bool

    def config(self, *names: str, lease: float = 0.3) -> dict[str, object]:
        return {
            "shards": {name: self.targets[name] for name in names},
            "tables": {"users": {"key": "id"}, "orders": {"key": "user_id"}},
            "reference": ["plans"],
            "lease": lease,
        }


@pytest.fixture(params=["database", "mariadb_database", "mysql_database"], ids=["postgresql", "mariadb", "mysql"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """Five databases with the tables of an application."""
    first: TestDatabase | FamilyDatabase = request.getfixturevalue(request.param)
    postgres = first.url.startswith("postgresql")
    names = {name: f"{first.name}_{name}" for name in NAMES}
    targets = {name: first.url.replace(f"/{first.name}", f"/{there}") for name, there in names.items()}
    async with rdskit.connect(first.url, tls="off", readers="off", min_size=0) as db, db.connection() as held:
        for there in names.values():
            await held.execute(f"create database {there}{' strategy = wal_log' if postgres else ''}")
        for target in targets.values():
            async with rdskit.connect(target, tls="off", readers="off", min_size=0, max_size=1) as shard:
                for statement in (USERS, ORDERS, "create table plans (id int primary key, name varchar(20))"):
                    await shard.execute(statement)
        yield Place(targets, postgres)
        for there in names.values():
            await held.execute(f"drop database {there}{' with (force)' if postgres else ''}")


@pytest.fixture
async def shards(place: Place) -> AsyncIterator[Shards]:
    """Four shards, set up."""
    async with Shards.connect(
        place.config("s1", "s2", "s3", "s4"), tls="off", readers="off", min_size=0, max_size=4
    ) as found:
        await found.setup()
        yield found


async def fill(shards: Shards, count: int) -> None:
    """Insert users 0 to count, ten orders for the first of them."""
    for number in range(count):
        await shards.on(number).execute(
            "insert into users (id, bucket, name, n) values (:id, :bucket, :name, :n)",
            id=number,
            name=f"u{number:03}",
            n=number % 7,
        )
