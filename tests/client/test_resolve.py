"""A plain URL finds its cluster: by the API's endpoints, by Aurora's own view and names, and not at all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import pytest

import rdskit
from rdskit import events
from rdskit.client.credentials import StaticCredentials
from rdskit.client.database.opening import open_database
from rdskit.client.failover import StaticSource, discovered
from rdskit.client.failover.access import Access
from rdskit.client.targets.options import Options
from rdskit.client.targets.resolve import Resolved
from rdskit.drivers.postgres import AsyncpgDriver
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.sql import Dialect
from rdskit.kernel.targets import Engine, Target
from rdskit.kernel.topology import Host, Role, Topology
from rdskit.runtime.deadlines import Deadline
from rdskit.runtime.observers import NO_OBSERVERS
from rdskit.runtime.tasks import TaskOwner
from tests.chaos.clusters import PASSWORD, Cluster, aurora
from tests.client.names import Names
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from rdskit.client.pool import Pool
    from rdskit.events import Event
    from tests.plugins.local_rds import LocalRds
    from tests.plugins.postgres import TestDatabase

PATIENCE = 60.0
DOMAIN = "abc123.eu-central-1.rds.amazonaws.com"
PLAIN = f"plain.{DOMAIN}"


@pytest.fixture(scope="module")
def cluster(local_rds: LocalRds) -> Iterator[Cluster]:
    with aurora(local_rds, "found", readers=1) as running:
        yield running


def endpoints(cluster: Cluster) -> dict[str, tuple[str, int]]:
    """Return where the cluster's endpoints and instances are, by what they are."""
    rds = cluster.local_rds.rds
    raw = rds.describe_db_clusters(DBClusterIdentifier=cluster.identifier)["DBClusters"][0]
    found = {"cluster": (raw["Endpoint"], raw["Port"]), "reader": (raw["ReaderEndpoint"], raw["Port"])}
    for name in cluster.instances:
        instance = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
        found[name] = (instance["Endpoint"]["Address"], instance["Endpoint"]["Port"])
    return found


def url(host: str, port: int = 5432) -> str:
    return f"postgresql://app:{PASSWORD}@{host}:{port}/app"


def of_kind(heard: list[Event], *kinds: type[Any]) -> list[Event]:
    return [event for event in heard if isinstance(event, kinds)]


async def writes(db: rdskit.Database) -> bool:
    with contextlib.suppress(rdskit.RdskitError):
        return await db.execute("update counter set n = n + 1", timeout=5) == 1
    return False


async def is_read_from_readers(db: rdskit.Database) -> bool:
    await db.fetch_value("select 1")
    return sum(db.stats().reads_by_reader.values()) > 0


# -- by the API --------------------------------------------------------------------------------------------------------


async def test_a_cluster_endpoint_has_its_writer_and_readers_and_follows_a_failover(cluster: Cluster) -> None:
    heard: list[Event] = []
    async with rdskit.connect(url(*endpoints(cluster)["cluster"]), observers=[heard.append]) as db:
        found = await db.topology()
        before = cluster.writer
        assert found.writer is not None
        assert found.writer.identifier == before
        assert {host.identifier for host in found.hosts} == set(cluster.instances)
        await db.execute("create table if not exists counter (n int)")
        await db.execute("insert into counter values (0)")
        await eventually(lambda: is_read_from_readers(db), PATIENCE)
        await asyncio.to_thread(cluster.fail_over)
        await eventually(lambda: writes(db), PATIENCE)

        async def is_followed() -> bool:
            await writes(db)
            now = (await db.topology()).writer
            return now is not None and now.identifier == cluster.writer != before

        await eventually(is_followed, PATIENCE)
        await db.execute("drop table counter")
    assert of_kind(heard, events.TopologyUnavailable) == []


async def test_an_instance_endpoint_stands_for_its_cluster_and_alone_for_itself(cluster: Cluster) -> None:
    places, writer = endpoints(cluster), cluster.writer
    (reader,) = set(cluster.instances) - {writer}
    async with rdskit.connect(url(*places[reader]), connect_timeout=PATIENCE) as db:
        found = await db.topology()
        assert found.writer is not None
        assert found.writer.identifier == writer
        assert not await db.fetch_value("select pg_is_in_recovery()")
    async with rdskit.connect(url(*places[writer]), topology="off") as db:
        (alone,) = (await db.topology()).hosts
        assert alone.endpoint == Endpoint(*places[writer])


async def test_a_reader_endpoint_only_reads(cluster: Cluster) -> None:
    heard: list[Event] = []
    target = url(*endpoints(cluster)["reader"])
    async with rdskit.connect(target, observers=[heard.append]) as db:
        found = await db.topology()
        assert found.writer is None
        assert [host.identifier for host in found.readers] == list(set(cluster.instances) - {cluster.writer})
        await eventually(lambda: is_read_from_readers(db), PATIENCE)
        assert await db.fetch_value("select pg_is_in_recovery()")
        with pytest.raises(rdskit.ReadOnlyError, match="connected to read only: connect by the cluster's own endpoint"):
            await db.execute("create table refused (n int)")
        with pytest.raises(rdskit.ReadOnlyError, match="connected to read only"):
            async with db.transaction() as tx:
                await tx.execute("create table refused (n int)")
        async with db.transaction() as tx:
            assert await tx.fetch_value("select pg_is_in_recovery()")
        assert (await db.health()).ok
    assert of_kind(heard, events.FailoverStarted, events.QueryRetried) == []
    with pytest.raises(rdskit.ConfigError, match="leads to readers only"):
        await rdskit.connect(target, consistency="strong")


async def test_a_custom_endpoint_leads_to_its_members(cluster: Cluster) -> None:
    rds, writer = cluster.local_rds.rds, cluster.writer
    (reader,) = set(cluster.instances) - {writer}
    made = {
        kind: rds.create_db_cluster_endpoint(
            DBClusterIdentifier=cluster.identifier,
            DBClusterEndpointIdentifier=f"for-{kind.lower()}",
            EndpointType=kind,
            StaticMembers=[reader],
        )["Endpoint"]
        for kind in ("READER", "ANY")
    }
    try:
        async with rdskit.connect(url(made["READER"])) as db:
            found = await db.topology()
            assert (found.writer, [host.identifier for host in found.readers]) == (None, [reader])
            with pytest.raises(rdskit.ReadOnlyError, match="connected to read only"):
                await db.execute("create table refused (n int)")
        async with rdskit.connect(url(made["ANY"])) as db:
            found = await db.topology()
            assert found.writer is not None
            assert (found.writer.identifier, [host.identifier for host in found.readers]) == (writer, [reader])
    finally:
        for kind in made:
            rds.delete_db_cluster_endpoint(DBClusterEndpointIdentifier=f"for-{kind.lower()}")


# -- by names, without AWS ---------------------------------------------------------------------------------------------


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither credentials nor an endpoint of our own: nothing that is said can come from the API."""
    for name in ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)


@pytest.fixture
def named(cluster: Cluster, names: Names) -> Names:
    """Name the cluster as Aurora does; AWS goes away once the API has reported the addresses."""
    for what, place in endpoints(cluster).items():
        label = {"cluster": "found.cluster-", "reader": "found.cluster-ro-"}.get(what, f"{what}.")
        names.lead(f"{label}{DOMAIN}", *place)
    return names


async def test_aurora_needs_no_permission_at_all(cluster: Cluster, named: Names, monkeypatch: Any) -> None:
    heard: list[Event] = []
    writer, instances = cluster.writer, set(cluster.instances)
    target = url(f"found.cluster-{DOMAIN}")
    with monkeypatch.context() as without:
        for name in ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            without.delenv(f"AWS_{name}")
        async with rdskit.connect(target, tls="require", observers=[heard.append]) as db:
            found = await db.topology()
        async with rdskit.connect(url(f"found.cluster-ro-{DOMAIN}"), tls="require", observers=[heard.append]) as db:
            read = await db.topology()
    assert {host.endpoint for host in found.hosts} == {Endpoint(f"{name}.{DOMAIN}", 5432) for name in instances}
    assert found.writer is not None
    assert found.writer.identifier == writer
    assert [host.identifier for host in read.hosts] == list(instances - {writer})
    assert read.entry is not None
    assert of_kind(heard, events.TopologyUnavailable) == []
    assert f"{writer}.{DOMAIN}" in named.lookups


@pytest.mark.usefixtures("named")
async def test_aurora_fails_over_by_what_its_servers_say(cluster: Cluster, monkeypatch: Any) -> None:
    before = cluster.writer
    rds = cluster.local_rds.rds  # made while there is an endpoint to call
    with monkeypatch.context() as without:
        for name in ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            without.delenv(f"AWS_{name}")
        async with rdskit.connect(url(f"{before}.{DOMAIN}"), tls="require") as db:
            await db.execute("create table counter (n int)")
            await db.execute("insert into counter values (0)")
            await asyncio.to_thread(rds.failover_db_cluster, DBClusterIdentifier=cluster.identifier)

            async def is_elsewhere() -> bool:
                found = (await db.topology()).writer
                return await writes(db) and found is not None and found.identifier != before

            await eventually(is_elsewhere, PATIENCE)
            await db.execute("drop table counter")
    await asyncio.to_thread(rds.get_waiter("db_cluster_available").wait, DBClusterIdentifier=cluster.identifier)


class Renaming:
    """A source that learns another name of its host, once it may."""

    cluster, changes, refresh_interval = "renamed", True, 0.01

    def __init__(self, port: int) -> None:
        self._port = port
        self._looks = 0
        self.may = asyncio.Event()

    async def topology(self) -> Topology:
        self._looks += 1
        if self._looks > 1:
            await self.may.wait()
        endpoint = Endpoint("first.example" if self._looks == 1 else "second.example", self._port)
        return Topology((Host("only", endpoint, Role.WRITER),), provisional=self._looks == 1)


async def open_renaming(database: TestDatabase, names: Names, source: Renaming) -> rdskit.Database:
    for name in ("first.example", "second.example"):
        names.lead(name, database.host, database.port)
    access = Access(
        AsyncpgDriver(),
        StaticCredentials(database.user, database.password),
        database=database.name,
        tls=None,
        connect_timeout=5.0,
        application_name="test",
    )
    resolved = Resolved(Target(), Engine.POSTGRES, Dialect.POSTGRES, source, access)
    return await open_database(resolved, Options(tls="off"), TaskOwner("test"))


async def test_what_was_begun_before_its_host_got_its_name_goes_on(database: TestDatabase, names: Names) -> None:
    source = Renaming(database.port)
    db = await open_renaming(database, names, source)
    try:
        async with db.transaction() as tx:
            held = await tx.fetch_value("select pg_backend_pid()")
            source.may.set()
            await db.topology()
            assert db.stats().writer.endpoint.startswith("second.example")
            assert await db.fetch_value("select pg_backend_pid()") != held
            (leaving,) = db._cluster._leaving
            await eventually(lambda: uses(leaving, 1), PATIENCE)  # others may be being opened or closed still
            assert await tx.fetch_value("select pg_backend_pid()") == held
        await eventually(lambda: has_left(db), PATIENCE)
    finally:
        await db.close()


async def has_left(db: rdskit.Database) -> bool:
    return not db._cluster._leaving


async def uses(pool: Pool, number: int) -> bool:
    return pool.stats().in_use == number


async def test_closing_takes_along_what_had_not_left_yet(database: TestDatabase, names: Names) -> None:
    source = Renaming(database.port)
    db = await open_renaming(database, names, source)
    lease = await db._cluster.writer.acquire(Deadline.after(PATIENCE))
    source.may.set()
    await db.topology()
    await db.close()
    assert lease.connection.broken


# -- not at all --------------------------------------------------------------------------------------------------------


def plain_url(database: TestDatabase) -> str:
    return database.url.replace(f"{database.host}:", f"{PLAIN}:")


@contextlib.asynccontextmanager
async def api(answer: bytes) -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Event]]:
    """Serve one answer to every caller once allowed; yield the URL, an event for a request, and one that allows."""
    asked, may = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await may.wait()
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked, may


DENIED = b"""<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform:
rds:DescribeDBInstances</Message></Error><RequestId>1</RequestId></ErrorResponse>"""
HEADER = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize("answer", [HEADER % len(DENIED) + DENIED, b""], ids=["denied", "hung up"])
async def test_without_the_api_one_warning_says_what_to_allow_and_the_host_serves(
    database: TestDatabase, names: Names, monkeypatch: Any, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    heard: list[Event] = []
    names.lead(PLAIN, database.host, database.port)
    async with api(answer) as (address, asked, may):
        for name, value in {"ENDPOINT_URL": address, "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        async with rdskit.connect(plain_url(database), tls="off", observers=[heard.append]) as db:
            assert await db.fetch_value("select 1") == 1  # while the API is still silent
            async with asyncio.timeout(PATIENCE):
                await asked.wait()
            may.set()
            (alone,) = (await db.topology()).hosts
            assert alone.endpoint == Endpoint(PLAIN, database.port)
            await db.execute("create table written (n int)")
            await eventually(lambda: is_told(heard), PATIENCE)
            await db._cluster._refresh()
    (told,) = of_kind(heard, events.TopologyUnavailable)
    assert isinstance(told, events.TopologyUnavailable)
    assert told.endpoint == f"{PLAIN}:{database.port}"
    assert "allow rds:DescribeDBInstances" in told.advice
    (line,) = [each for each in caplog.records if each.levelno >= logging.WARNING and PLAIN in each.getMessage()]
    assert "allow rds:DescribeDBInstances, or pass topology='off'" in line.getMessage()


async def is_told(heard: list[Event]) -> bool:
    return bool(of_kind(heard, events.TopologyUnavailable))


@pytest.mark.usefixtures("no_aws")
async def test_without_credentials_too(database: TestDatabase, names: Names) -> None:
    heard: list[Event] = []
    names.lead(PLAIN, database.host, database.port)
    async with rdskit.connect(plain_url(database), tls="off", observers=[heard.append]) as db:
        await eventually(lambda: is_told(heard), PATIENCE)
        assert await db.fetch_value("select 1") == 1
    (told,) = of_kind(heard, events.TopologyUnavailable)
    assert isinstance(told, events.TopologyUnavailable)
    assert told.error == "ConfigError"


@pytest.mark.usefixtures("no_aws")
def test_only_names_of_rds_and_other_endpoints_of_aws_are_looked_up(monkeypatch: Any) -> None:
    access: Any = Access.__new__(Access)  # nothing is opened
    of_proxy, elsewhere, of_rds = (
        Endpoint(host, 5432) for host in (f"p.proxy-{DOMAIN}", "db.example.com", f"db.{DOMAIN}")
    )
    assert isinstance(discovered(of_proxy, access, Engine.POSTGRES, NO_OBSERVERS), StaticSource)
    assert isinstance(discovered(elsewhere, access, Engine.POSTGRES, NO_OBSERVERS), StaticSource)
    assert not isinstance(discovered(of_rds, access, Engine.POSTGRES, NO_OBSERVERS), StaticSource)
    monkeypatch.setenv("AWS_ENDPOINT_URL_RDS", "http://127.0.0.1:1")
    assert not isinstance(discovered(elsewhere, access, Engine.POSTGRES, NO_OBSERVERS), StaticSource)
    assert isinstance(discovered(of_proxy, access, Engine.POSTGRES, NO_OBSERVERS), StaticSource)


async def test_a_topology_that_is_no_choice_is_refused() -> None:
    with pytest.raises(rdskit.ConfigError, match="topology='on' is not known; choose one of auto, off"):
        await rdskit.connect("postgresql://app@db.example.com/shop", topology="on")  # type: ignore[arg-type]
