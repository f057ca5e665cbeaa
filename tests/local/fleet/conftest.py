"""Provide a fleet of real servers for each test, and clients that use it as an application would."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pytest

from rdskit.local.engines.waiting import poll
from rdskit.local.fleet import Fleet, FleetEvent, InstanceSpec
from tests.local.fleet.clients import PASSWORD, USER, Writer, connect_mysql, connect_postgres
from tests.plugins.templates import share_templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psycopg

    from rdskit.kernel.endpoints import Endpoint
    from tests.local.fleet.clients import Client

PORTS = {"postgres": 5432, "aurora-postgresql": 5432, "mysql": 3306, "aurora-mysql": 3306, "mariadb": 3306}
ZONES = ("eu-west-1a", "eu-west-1b")


def spec(
    resource_id: str = "db-ORDERS", *, engine: str = "postgres", multi_az: bool = False, **parameters: str
) -> InstanceSpec:
    return InstanceSpec(
        resource_id=resource_id,
        engine=engine,
        master_user=USER,
        master_password=PASSWORD,
        database="shop",
        port=PORTS[engine],
        multi_az=multi_az,
        zones=ZONES,
        parameters={name.replace("__", "."): value for name, value in parameters.items()},
    )


@dataclass
class Harness:
    """Running fleet and the events that it has reported.

    Attributes:
        at_event: called with each event, on the fleet's thread.
    """

    fleet: Fleet
    events: list[FleetEvent] = field(default_factory=list)
    at_event: Callable[[FleetEvent], None] = lambda _: None

    def note(self, event: FleetEvent) -> None:
        self.events.append(event)
        self.at_event(event)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def connect(self, endpoint: Endpoint, *, password: str = PASSWORD, **options: str) -> psycopg.Connection:
        """Log in as the master user through the endpoint, verifying it fully."""
        return connect_postgres(endpoint, self.fleet.authority, password=password, **options)

    def client(self, endpoint: Endpoint) -> Client:
        """Log in as the master user, whatever engine is behind the endpoint."""
        if endpoint.port == PORTS["postgres"]:
            return connect_postgres(endpoint, self.fleet.authority)
        return connect_mysql(endpoint, self.fleet.authority)

    def count(self, endpoint: Endpoint, table: str = "written") -> int:
        with self.client(endpoint) as connection:
            return int(connection.execute(f"select count(*) from {table}").fetchone()[0])

    def pid(self, resource_id: str) -> int:
        """Return the pid of the server behind the endpoint."""
        pid = self.fleet._supervisor(resource_id).instance.primary.server.pid
        assert pid is not None
        return pid

    def await_sync(self, resource_id: str = "db-ORDERS") -> None:
        self.until(lambda: self.fleet.describe(resource_id).standby_in_sync is True)

    def until(self, condition: Callable[[], bool], timeout: float = 60) -> None:
        assert poll(condition, timeout=timeout, interval=0.02), self.kinds()


@contextlib.contextmanager
def writers(harness: Harness, endpoint: Endpoint, count: int = 2) -> Iterator[list[Writer]]:
    """Run several writers at once; assert_nothing_lost() looks for their rows afterwards."""
    with harness.client(endpoint) as connection:
        connection.execute("create table if not exists written (writer int, number int, primary key (writer, number))")
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Writer(partial(harness.client, endpoint), number)) for number in range(count)]


def more(active: list[Writer], rows: int = 20) -> bool:
    """Return whether every writer gets at least so many further rows acknowledged."""
    before = [len(writer.acknowledged) for writer in active]
    return poll(
        lambda: all(len(writer.acknowledged) >= start + rows for writer, start in zip(active, before, strict=True)),
        timeout=60,
    )


def assert_nothing_lost(harness: Harness, endpoint: Endpoint, active: list[Writer]) -> None:
    acknowledged = set().union(*(writer.acknowledged for writer in active))
    with harness.client(endpoint) as connection:
        present = set(connection.execute("select writer, number from written").fetchall())
    assert acknowledged
    assert acknowledged - present == set()


@pytest.fixture
def engine() -> str:
    """Return the engine of a test's instances; modules of other engines override this fixture."""
    return "postgres"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    share_templates(tmp_path / "data")
    return tmp_path / "data"


@contextlib.contextmanager
def running(root: Path) -> Iterator[Harness]:
    """Run a fleet in a folder for the length of the block."""
    fleet = Fleet(root, notify=lambda event: found.note(event))  # noqa: PLW0108 - there is none yet
    found = Harness(fleet)
    fleet.start()
    try:
        yield found
    finally:
        end(found.fleet)


def end(fleet: Fleet) -> None:
    """Close a fleet whose data are no longer needed. Its servers are killed, so they write nothing back."""
    for supervisor in fleet._all():
        # Before the kill, or the supervisor would restart the server.
        supervisor.instance.closing.set()
        for node in supervisor.instance.nodes:
            node.server.kill()
    fleet.close()


@pytest.fixture
def harness(root: Path) -> Iterator[Harness]:
    with running(root) as found:
        yield found
