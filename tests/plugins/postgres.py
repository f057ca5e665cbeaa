"""One throw-away PostgreSQL for the whole run, and a fresh database for each test that asks.

A database costs about 30 ms to create: the next one is made while a test uses the last.
"""

from __future__ import annotations

import itertools
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from rdskit.local.engines.providers import find_postgres
from rdskit.local.engines.throwaway import throwaway_postgres
from tests.plugins.confidentiality import keep_confidential

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.local.engines.throwaway import ThrowawayPostgres


@dataclass(frozen=True, slots=True)
class TestDatabase:
    """A fresh, empty database on the run's PostgreSQL; ``user`` is its superuser."""

    __test__ = False
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    name: str

    @property
    def url(self) -> str:
        """The URL for ``rdskit.connect``, asyncpg or psycopg; plain TCP, no TLS."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.name}"


class Spares:
    """Databases made ahead of need, by one thread with one connection."""

    def __init__(self, server: ThrowawayPostgres) -> None:
        self._server = server
        self._connection = psycopg.connect(server.dsn, autocommit=True)
        self._numbers = itertools.count(1)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spare-databases")
        self._next: Future[str] = self._thread.submit(self._create)

    def take(self) -> TestDatabase:
        """Hand out the spare database and have the next one made."""
        name = self._next.result(timeout=30)
        self._next = self._thread.submit(self._create)
        server = self._server
        return TestDatabase(server.host, server.port, server.superuser, server.password, name)

    def give_back(self, database: TestDatabase) -> None:
        """Have the database dropped, whoever is still connected to it."""
        self._thread.submit(self._execute, "drop database {} with (force)", database.name)

    def close(self) -> None:
        """Wait for the thread's work and end it."""
        self._thread.shutdown(wait=True)
        self._connection.close()

    def _create(self) -> str:
        name = f"test_{next(self._numbers)}"
        self._execute("create database {}", name)
        return name

    def _execute(self, statement: str, name: str) -> None:
        self._connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


def pytest_report_header() -> str:
    found = find_postgres()
    return f"servers: PostgreSQL {found.version} ({found.provider})"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayPostgres]:
    """A PostgreSQL of this run's own: ``host``, ``port``, ``superuser``, ``password``, ``dsn``."""
    with throwaway_postgres(tmp_path_factory.mktemp("postgres")) as server:
        keep_confidential(server.password)
        yield server


@pytest.fixture(scope="session")
def spare_databases(postgres: ThrowawayPostgres) -> Iterator[Spares]:
    """Where fresh databases come from."""
    spares = Spares(postgres)
    yield spares
    spares.close()


@pytest.fixture
def database(spare_databases: Spares) -> Iterator[TestDatabase]:
    """A fresh, empty database for one test."""
    fresh = spare_databases.take()
    yield fresh
    spare_databases.give_back(fresh)
