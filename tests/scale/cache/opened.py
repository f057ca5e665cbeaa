"""A database with a cache, for tests; plain helpers, no fixtures of their own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import rdskit
from rdskit.scale import Cache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.integrations.pytest_plugin.databases import FreshDatabase
    from rdskit.local.engines.valkey.server import ValkeyServer

PATIENT = 3.0  # seconds for an answer: a busy machine must not look like an outage
READ = "select id, name from users order by id"


@contextlib.asynccontextmanager
async def opened(
    database: FreshDatabase, valkey: ValkeyServer, namespace: str, **options: Any
) -> AsyncIterator[tuple[rdskit.Database, Cache]]:
    """Connect to a database and open its cache."""
    arguments = {"timeout": PATIENT, **options}
    async with (
        rdskit.connect(database.url, tls="off") as db,
        Cache(db, valkey.url, namespace=namespace, **arguments) as cache,
    ):
        yield db, cache


async def make_users(db: rdskit.Database) -> None:
    """Create the table that most tests read."""
    await db.execute("create table users (id bigint primary key, name varchar(50))")
    await db.execute("insert into users (id, name) values (1, 'Ada')")
