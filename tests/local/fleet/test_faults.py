"""Faults that are injected on every engine: what clients see, and how the fleet reacts."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pymysql
import pytest

from rdskit.errors import LocalError
from rdskit.local.fault_model import Fault
from rdskit.local.fleet import failover
from rdskit.local.fleet.failover import await_first_write
from tests.local.fleet.clients import LOST, connect_mysql, connect_postgres
from tests.local.fleet.conftest import PORTS, Harness, assert_nothing_lost, more, spec, writers
from tests.plugins.rounds import soak

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.engines.session import ServerSession
    from rdskit.local.fleet.engine import Server
    from tests.local.fleet.clients import Client

NAME = "db-ORDERS"
#: MySQL and MariaDB share the endpoint's protocol, so one of them is enough in the gate for faults of the network.
ENDPOINT_ENGINES = ["postgres", "mariadb", *soak("mysql")]
#: One of the two that replicate by GTID: promotion and lag need other statements there than on PostgreSQL.
SERVER_ENGINES = ["postgres", "mysql", *soak("mariadb")]


@pytest.fixture(params=["postgres", "mysql", "mariadb"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def client(harness: Harness, endpoint: Endpoint) -> Iterator[Client]:
    with harness.client(endpoint) as connection:
        yield connection


@pytest.fixture
def endpoint(harness: Harness, engine: str) -> Endpoint:
    return harness.fleet.create(spec(engine=engine))


def impatient(harness: Harness, endpoint: Endpoint) -> Client:
    """Connect with a time-out of one second."""
    if endpoint.port == PORTS["postgres"]:
        return connect_postgres(endpoint, harness.fleet.authority, connect_timeout="2")
    return connect_mysql(endpoint, harness.fleet.authority, connect_timeout=1)


def took(connection: Client) -> float:
    begun = time.monotonic()
    connection.execute("select 1")
    return time.monotonic() - begun


@pytest.mark.parametrize("engine", ENDPOINT_ENGINES, indirect=True)
def test_latency_delays_each_answer_and_a_reset_ends_connections(
    harness: Harness, endpoint: Endpoint, client: Client
) -> None:
    harness.fleet.inject(NAME, Fault("latency", 0.2))
    assert took(client) >= 0.2
    with harness.client(endpoint) as another:
        assert took(another) >= 0.2
    assert harness.fleet.clear_faults(NAME) == {Fault("latency", 0.2)}
    harness.until(lambda: took(client) < 0.2)

    harness.fleet.inject(NAME, Fault("reset"))
    with pytest.raises(LOST):
        client.execute("select 1")
    with harness.client(endpoint) as another:
        another.execute("select 1")
    assert harness.fleet.clear_faults(NAME) == frozenset()


@pytest.mark.parametrize("engine", ENDPOINT_ENGINES, indirect=True)
def test_a_black_hole_for_clients_promotes_no_server_and_drops_what_they_send(
    harness: Harness, endpoint: Endpoint, client: Client
) -> None:
    harness.fleet.set_multi_az(NAME, enabled=True)
    answered = threading.Event()

    def ask() -> None:
        client.execute("select 1")
        answered.set()

    harness.fleet.inject(NAME, Fault("blackhole", path="client"))
    waiting = threading.Thread(target=ask)
    waiting.start()
    with pytest.raises((psycopg.OperationalError, pymysql.err.OperationalError), match=r"tim(eout|ed out)"):
        impatient(harness, endpoint)
    assert not answered.is_set()
    assert harness.fleet.failovers() == []
    harness.fleet.clear_faults(NAME)
    waiting.join(30)
    assert answered.is_set()
    with harness.client(endpoint) as another:
        another.execute("select 1")


@pytest.mark.chaos
@pytest.mark.parametrize("engine", ENDPOINT_ENGINES, indirect=True)
def test_a_black_hole_for_all_is_failed_over_and_old_connections_get_no_answer(
    harness: Harness, endpoint: Endpoint, client: Client
) -> None:
    harness.fleet.set_multi_az(NAME, enabled=True)
    with writers(harness, endpoint, count=1) as before:
        assert more(before)
    harness.fleet.inject(NAME, Fault("blackhole"))
    harness.until(lambda: "failover-completed" in harness.kinds())
    (failover,) = harness.fleet.failovers()
    assert failover.cause == "primary-hung"
    assert failover.detection_ms is not None
    with harness.client(endpoint) as another:
        another.execute("create table after_it (id int)")
    answers: list[object] = []

    def ask() -> None:
        try:
            answers.append(client.execute("select 1"))
        except LOST as error:
            answers.append(error)

    waiting = threading.Thread(target=ask)
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive()
    harness.fleet.clear_faults(NAME)
    waiting.join(30)
    assert isinstance(answers[0], LOST)
    assert_nothing_lost(harness, endpoint, before)


@pytest.mark.chaos
@pytest.mark.parametrize("engine", SERVER_ENGINES, indirect=True)
def test_a_primary_whose_standby_cannot_be_promoted_is_restarted_and_the_standby_copied_again(
    harness: Harness, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles = iter([LocalError("the promoted standby accepts no write")])

    def await_write(server: Server, writer: ServerSession) -> None:
        for trouble in troubles:
            raise trouble
        await_first_write(server, writer)

    monkeypatch.setattr(failover, "await_first_write", await_write)
    harness.fleet.set_multi_az(NAME, enabled=True)
    harness.until(lambda: harness.fleet.describe(NAME).standby_in_sync is True)
    with writers(harness, endpoint) as active:
        assert more(active)
        harness.fleet.inject(NAME, Fault("kill"))
        harness.until(lambda: "restarted" in harness.kinds())
        assert more(active)
        harness.until(lambda: harness.fleet.describe(NAME).standby_in_sync is True)
        assert harness.fleet.failovers() == []
        harness.fleet.reboot(NAME, force_failover=True)
        assert more(active)
    assert_nothing_lost(harness, endpoint, active)


@pytest.mark.chaos
@pytest.mark.parametrize("engine", ENDPOINT_ENGINES, indirect=True)
def test_connections_of_before_a_black_hole_are_reset_by_the_server_that_is_back_at_its_address(
    harness: Harness, endpoint: Endpoint, client: Client
) -> None:
    harness.fleet.inject(NAME, Fault("blackhole"))
    with pytest.raises(LOST):  # the restart ends the fault
        client.execute("select 1")
    with harness.client(endpoint) as another:
        another.execute("select 1")
    assert harness.kinds().count("restarted") == 1
    assert harness.fleet.clear_faults(NAME) == frozenset()


@pytest.mark.chaos
@pytest.mark.parametrize("engine", ["postgres", *soak("mysql", "mariadb")], indirect=True)
@pytest.mark.parametrize(("kind", "cause"), [("kill", "primary-ended"), ("hang", "primary-hung")])
def test_a_killed_or_hung_primary_is_fenced_and_its_standby_promoted(
    harness: Harness, endpoint: Endpoint, kind: str, cause: str
) -> None:
    harness.fleet.set_multi_az(NAME, enabled=True)
    with writers(harness, endpoint) as active:
        assert more(active)
        harness.fleet.inject(NAME, Fault("kill" if kind == "kill" else "hang"))
        harness.until(lambda: "failover-completed" in harness.kinds())
        assert more(active)
    assert_nothing_lost(harness, endpoint, active)
    (failover,) = harness.fleet.failovers()
    assert failover.cause == cause
    assert failover.detection_ms is not None


@pytest.mark.chaos
@pytest.mark.parametrize("engine", ["postgres", *soak("mariadb")], indirect=True)
def test_full_storage_takes_the_instance_down_and_nothing_is_promoted_or_lost(
    harness: Harness, endpoint: Endpoint
) -> None:
    harness.fleet.set_multi_az(NAME, enabled=True)
    with writers(harness, endpoint) as active:
        assert more(active)
        running = []
        harness.at_event = lambda _: running.append(harness.fleet.describe(NAME).running)
        harness.fleet.inject(NAME, Fault("full-disk"))
        assert running == [False], "at the event the servers must be down already"
        assert harness.fleet.describe(NAME).storage_full
        with pytest.raises(LOST):
            harness.client(endpoint)
        with pytest.raises(LocalError, match="used up its storage"):
            harness.fleet.reboot(NAME)
        harness.fleet.allocate_storage(NAME)
        assert more(active)
    assert_nothing_lost(harness, endpoint, active)
    assert harness.fleet.failovers() == []
    assert not harness.fleet.describe(NAME).storage_full
    harness.await_sync()
    assert harness.kinds().count("storage-full") == 1


@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
def test_replicas_serve_reads_while_the_storage_of_their_source_is_full(
    harness: Harness, engine: str, endpoint: Endpoint
) -> None:
    copy = harness.fleet.create_replica(spec("db-COPY", engine=engine), NAME)
    with harness.client(endpoint) as source:
        source.execute("create table seen (at int)")
    with harness.client(copy) as replica:
        harness.until(lambda: exists(replica))
        harness.fleet.inject(NAME, Fault("full-disk"), lasting=0.5)
        assert rows(replica) == 0
        harness.until(lambda: "restarted" in harness.kinds())
        with harness.client(endpoint) as source:
            source.execute("insert into seen values (1)")
        harness.until(lambda: rows(replica) == 1)


@pytest.mark.parametrize("engine", SERVER_ENGINES, indirect=True)
def test_replicas_lag_until_the_time_is_over(harness: Harness, engine: str, endpoint: Endpoint) -> None:
    with pytest.raises(LocalError, match="no read replica"):
        harness.fleet.inject(NAME, Fault("lag", 3.0))
    copy = harness.fleet.create_replica(spec("db-COPY", engine=engine), NAME)
    with harness.client(endpoint) as source:
        source.execute("create table seen (at int)")
        with harness.client(copy) as replica:
            harness.until(lambda: exists(replica))
            harness.fleet.inject(NAME, Fault("lag", 3600.0), lasting=2.0)
            source.execute("insert into seen values (1)")
            time_out = time.monotonic() + 1.0
            while time.monotonic() < time_out:
                assert rows(replica) == 0
            harness.until(lambda: rows(replica) == 1)


@pytest.mark.parametrize("engine", ENDPOINT_ENGINES, indirect=True)
def test_lag_ends_on_a_replica_that_is_restarted_meanwhile(harness: Harness, engine: str, endpoint: Endpoint) -> None:
    copy = harness.fleet.create_replica(spec("db-COPY", engine=engine), NAME)
    with harness.client(endpoint) as source:
        source.execute("create table seen (at int)")
        with harness.client(copy) as replica:
            harness.until(lambda: exists(replica))
        harness.fleet.inject(NAME, Fault("lag", 3600.0))
        harness.fleet.inject("db-COPY", Fault("kill"))
        harness.until(lambda: "stopped-unexpectedly" in harness.kinds())
        harness.fleet.clear_faults(NAME)
        source.execute("insert into seen values (1)")
    harness.until(lambda: "restarted" in harness.kinds())
    with harness.client(copy) as replica:
        harness.until(lambda: rows(replica) == 1)


def rows(connection: Client) -> int:
    return int(connection.execute("select count(*) from seen").fetchone()[0])


def exists(connection: Client) -> bool:
    try:
        return rows(connection) == 0
    except (psycopg.errors.UndefinedTable, pymysql.err.ProgrammingError):
        return False


@pytest.mark.parametrize("engine", ["postgres", *soak("mysql", "mariadb")], indirect=True)
def test_what_does_not_run_cannot_be_broken(harness: Harness, endpoint: Endpoint) -> None:
    assert endpoint.port
    harness.fleet.stop(NAME)
    with pytest.raises(LocalError, match="does not run"):
        harness.fleet.inject(NAME, Fault("hang"))
    with pytest.raises(LocalError, match="no instance db-NO_OBSERVERS"):
        harness.fleet.inject("db-NO_OBSERVERS", Fault("hang"))
