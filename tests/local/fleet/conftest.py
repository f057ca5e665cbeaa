"""A fleet of real servers for each test, and clients that use it as an application would."""

from __future__ import annotations

import contextlib
import shutil
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from rdskit.local.engines.waiting import poll
from rdskit.local.fleet import Fleet, FleetEvent, InstanceSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint

PASSWORD = "a password with 'quotes'"
ZONES = ("eu-west-1a", "eu-west-1b")


def spec(resource_id: str = "db-ORDERS", *, multi_az: bool = False, **parameters: str) -> InstanceSpec:
    return InstanceSpec(
        resource_id=resource_id,
        engine="postgres",
        master_user="shop_admin",
        master_password=PASSWORD,
        database="shop",
        port=5432,
        multi_az=multi_az,
        zones=ZONES,
        parameters={name.replace("__", "."): value for name, value in parameters.items()},
    )


def connect(endpoint: Endpoint, ca: Path, *, password: str = PASSWORD, **options: str) -> psycopg.Connection:
    """Log in as the master user, verifying the server fully."""
    settings = {
        "host": endpoint.host,
        "port": str(endpoint.port),
        "user": "shop_admin",
        "password": password,
        "dbname": "shop",
        "sslmode": "verify-full",
        "sslrootcert": str(ca),
        "gssencmode": "disable",
        "connect_timeout": "5",
        **options,
    }
    return psycopg.connect(make_conninfo(**settings), autocommit=True)


@dataclass
class Harness:
    """A running fleet and what it has told."""

    fleet: Fleet
    events: list[FleetEvent] = field(default_factory=list)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def connect(self, endpoint: Endpoint, *, password: str = PASSWORD, **options: str) -> psycopg.Connection:
        """Log in as the master user through the endpoint, verifying it fully."""
        return connect(endpoint, self.fleet.authority, password=password, **options)

    def count(self, endpoint: Endpoint, table: str = "written") -> int:
        with self.connect(endpoint) as connection:
            row = connection.execute(f"select count(*) from {table}").fetchone()
        assert row is not None
        return int(row[0])

    def pid(self, resource_id: str) -> int:
        """The process of the server behind the endpoint."""
        pid = self.fleet._care(resource_id).instance.primary.server.pid
        assert pid is not None
        return pid

    def await_sync(self, resource_id: str = "db-ORDERS") -> None:
        self.until(lambda: self.fleet.describe(resource_id).standby_in_sync is True)

    def until(self, condition: Callable[[], bool], timeout: float = 60) -> None:
        assert poll(condition, timeout=timeout, interval=0.02), self.kinds()


class Writer:
    """Inserts numbered rows as fast as it can, connecting again whenever it must, and remembers what was
    acknowledged.
    """

    def __init__(self, harness: Harness, endpoint: Endpoint, number: int) -> None:
        self.acknowledged: set[tuple[int, int]] = set()
        self._harness = harness
        self._endpoint = endpoint
        self._number = number
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        count = 0
        while not self._stop.is_set():
            try:
                with self._harness.connect(self._endpoint) as connection:
                    while not self._stop.is_set():
                        count += 1
                        connection.execute("insert into written values (%s, %s)", (self._number, count))
                        self.acknowledged.add((self._number, count))
            except psycopg.OperationalError:
                self._stop.wait(0.005)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@contextlib.contextmanager
def writers(harness: Harness, endpoint: Endpoint, count: int = 2) -> Iterator[list[Writer]]:
    """Several writers at once; afterwards every acknowledged row is looked for."""
    with harness.connect(endpoint) as connection:
        connection.execute("create table if not exists written (writer int, number int, primary key (writer, number))")
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Writer(harness, endpoint, number)) for number in range(count)]


def assert_nothing_lost(harness: Harness, endpoint: Endpoint, active: list[Writer]) -> None:
    acknowledged = set().union(*(writer.acknowledged for writer in active))
    with harness.connect(endpoint) as connection:
        present = set(connection.execute("select writer, number from written").fetchall())
    assert acknowledged
    assert acknowledged - present == set()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose templates are made, to be copied."""
    root = tmp_path_factory.mktemp("prepared") / "data"
    fleet = Fleet(root, notify=lambda _: None)
    fleet.start()
    try:
        fleet.create(spec("db-PREPARE"))
        fleet.delete("db-PREPARE")
    finally:
        fleet.close()
    return root


@pytest.fixture
def root(tmp_path: Path, prepared: Path) -> Path:
    target = tmp_path / "data"
    target.mkdir(mode=0o700)
    shutil.copytree(prepared / "templates", target / "templates")
    shutil.copy(prepared / "rdsadmin.secret", target)
    return target


@pytest.fixture
def harness(root: Path) -> Iterator[Harness]:
    events: list[FleetEvent] = []
    fleet = Fleet(root, notify=events.append)
    fleet.start()
    try:
        yield Harness(fleet, events)
    finally:
        fleet.close()
