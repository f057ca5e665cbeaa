"""Readers that come, go, move and fall silent, in virtual time: which of them are read from, and who waits for them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from rdskit.client.database.opening import open_database
from rdskit.client.failover.access import Access
from rdskit.client.targets.options import Options
from rdskit.client.targets.resolve import Resolved
from rdskit.errors import RdskitError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.positions import Lsn
from rdskit.kernel.sql import Dialect
from rdskit.kernel.targets import Engine, Target
from rdskit.kernel.topology import Host, Role, Topology
from rdskit.runtime.tasks import TaskOwner
from tests.client.estate import ANSWER, Estate, Server

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
        for server in self.servers.values():
            server.position = Lsn(1)

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


async def written(db: Database, estate: Pair) -> None:
    """Write what the reader does not show yet."""
    estate.servers["one"].position = Lsn(2)
    await db.execute("insert into note values (1)")


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


@pytest.mark.parametrize("timeout", [5.0, 0.3, None])
async def test_a_reader_that_falls_silent_after_a_write_keeps_a_read_no_longer_than_one_that_lags(
    estate: Pair, timeout: float | None
) -> None:
    clock = asyncio.get_running_loop().time
    async with reading(estate) as db:
        await written(db, estate)
        estate.servers["two"].silent = True
        took = []
        for _ in range(5):
            started = clock()
            await db.fetch_all("select 1", timeout=timeout)
            took.append(clock() - started)
        assert took[0] == pytest.approx(0.05, abs=3 * ANSWER)
        assert max(took[1:]) <= took[0]
        assert sum(took) < 0.15, "that had no success, so the others do not wait at once"
        assert db.stats().reads_sent_to_writer == 5


async def test_a_read_with_less_time_than_that_keeps_its_own_deadline(estate: Pair) -> None:
    clock = asyncio.get_running_loop().time
    async with reading(estate) as db:
        await written(db, estate)
        estate.servers["two"].silent = True
        started = clock()
        with pytest.raises(RdskitError):
            await db.fetch_all("select 1", timeout=0.02)
        assert clock() - started == pytest.approx(0.02, abs=ANSWER)


async def test_a_reader_that_catches_up_in_time_is_waited_for(estate: Pair) -> None:
    async with reading(estate) as db:
        await written(db, estate)
        asyncio.get_running_loop().call_later(0.02, setattr, estate.servers["two"], "position", Lsn(2))
        assert await served_by_reader(db)
