"""What ``rdskit.client.api`` adds for the rooms above: routers, readers, events of all databases, replication."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import rdskit
from rdskit.client import api
from rdskit.client.api import Route
from rdskit.errors import AuthenticationError
from rdskit.events import QueryFinished
from rdskit.kernel.ports import Login
from rdskit.kernel.scope import Scope
from tests.client.test_readers_in_virtual_time import Pair, reading

if TYPE_CHECKING:
    from rdskit.events import Event
    from rdskit.kernel.sql import Statement
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase


@pytest.mark.looptime
async def test_a_router_chooses_between_writer_and_readers() -> None:
    asked: list[tuple[str, Scope]] = []

    def choose(statement: Statement, scope: Scope) -> Route:
        asked.append((statement.source, scope))
        if "price" in statement.source:
            return Route.READER
        return Route.WRITER if "fresh" in statement.source else Route.AUTO

    async with reading(Pair()) as db:
        (before,) = api.reader_progress(db)
        assert (before.identifier, before.serves, str(before.position)) == ("two", True, "0/1")
        view = api.routed(api.scoped(db, Scope("acme")), choose)

        async def reads() -> int:
            return sum(reader.reads for reader in api.reader_progress(db))

        count = await reads()
        await view.fetch_all("select 1")
        await view.fetch_all("select price(1)")
        assert await reads() == count + 2, "also what is not known to only read"
        await view.fetch_all("select 'fresh'")
        await view.execute("update price set n = 1")
        assert await reads() == count + 2, "what writes goes to the writer, whatever the router says"
    assert asked[0] == ("select 1", Scope("acme"))


async def test_events_of_all_databases_carry_their_names(database: TestDatabase) -> None:
    received: list[tuple[str, str]] = []

    def observer(name: str, event: Event) -> None:
        if isinstance(event, QueryFinished):
            received.append((name, event.sql))
        raise ZeroDivisionError

    async with rdskit.connect(database.url, tls="off") as before:
        remove = api.observe_all(observer)
        try:
            async with rdskit.connect(database.url, tls="off") as after:
                await after.fetch_value("select 1")
                await before.fetch_value("select 2")
        finally:
            remove()
        assert len(received) == 1
        assert received[0][0].startswith("postgresql://")
        assert database.password not in received[0][0]
        assert received[0][1] == "select 1"


async def test_a_replication_connection_of_a_database(database: TestDatabase, mysql_database: FamilyDatabase) -> None:
    async with rdskit.connect(database.url, tls="off") as db:
        assert api.capabilities(db).replication
        async with api.replication(db) as wal:
            system = await _identify(wal)
            assert system.database == database.name
    async with rdskit.connect(mysql_database.url, tls="off") as db, api.replication(db) as binlog:
        assert binlog is not None


async def _identify(connection: Any) -> Any:
    return await connection.identify(5.0)


async def test_a_login_for_replication_that_is_refused(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off") as db:
        db.context.shared.cluster.access.credentials = _Wrong()
        with pytest.raises(AuthenticationError):
            async with api.replication(db):
                raise AssertionError


class _Wrong:
    async def login(self, _endpoint: object, *, refused: object = None) -> Any:
        return refused or Login("nobody_here", "wrong")
