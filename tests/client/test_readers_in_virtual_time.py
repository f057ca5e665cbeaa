"""Readers that come, go, move and fall silent, in virtual time: which of them are read from, and who waits for them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from rdskit.client.database.database import open_database
from rdskit.client.database.options import Options
from rdskit.client.database.resolve import Resolved
from rdskit.client.failover.cluster import Access
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.sql import Dialect
from rdskit.kernel.targets import Engine, Target
from rdskit.kernel.topology import Host, Role, Topology
from rdskit.runtime.tasks import TaskOwner
from tests.client.estate import Estate, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.client.database.database import Database

pytestmark = pytest.mark.looptime


class Pair(Estate):
    """A writer and one reader.

    Attributes:
        reader: the host behind the reader's name; None while the API leaves it out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reader: str | None = "two"
        self.servers["moved"] = Server("moved", Role.READER)

    async def topology(self) -> Topology:
        writer = Host("one", Endpoint("one", 5432), Role.WRITER)
        readers = () if self.reader is None else (Host("two", Endpoint(self.reader, 5432), Role.READER),)
        return Topology((writer, *readers))


@pytest.fixture
def estate() -> Pair:
    return Pair()


@contextlib.asynccontextmanager
async def reading(estate: Pair) -> AsyncIterator[Database]:
    access = Access(estate, estate, database=None, tls=None, connect_timeout=5.0, application_name="test")
    resolved = Resolved(Target(), Engine.POSTGRES, Dialect.POSTGRES, estate, access)
    db = await open_database(resolved, Options(tls="off"), TaskOwner("test"))
    try:
        await asyncio.sleep(2)
        assert await served_by_reader(db)
        yield db
    finally:
        await db.close()


async def served_by_reader(db: Database) -> bool:
    before = db.stats().reads_sent_to_writer
    await db.fetch_all("select 1", timeout=5)
    return db.stats().reads_sent_to_writer == before


async def look(db: Database) -> None:
    """Have the topology read, within less time than lies between two looks at the readers."""
    db._cluster.doubt()
    await asyncio.sleep(0.01)


async def test_a_reader_that_has_moved_is_read_from_where_it_is_now(estate: Pair) -> None:
    async with reading(estate) as db:
        estate.reader = "moved"
        await look(db)
        await asyncio.sleep(2)
        assert await served_by_reader(db)
        assert not estate.servers["two"].lines


async def test_a_reader_that_one_look_leaves_out_is_read_from_after_the_next(estate: Pair) -> None:
    async with reading(estate) as db:
        estate.reader = None
        await look(db)
        estate.reader = "two"
        await look(db)
        await asyncio.sleep(2)
        assert await served_by_reader(db)
