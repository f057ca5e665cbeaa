"""One throw-away MariaDB and one throw-away MySQL for the whole run, and a fresh database for each test that asks."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from rdskit.local.engines.installations import (
    MARIADB_PROVIDERS,
    MYSQL_PROVIDERS,
    ensure_mariadb,
    ensure_mysql,
    installed,
)
from rdskit.local.engines.mysql_sql import ServerRefused
from rdskit.local.engines.throwaway_mysql import throwaway_mariadb, throwaway_mysql
from tests.plugins.confidentiality import keep_confidential

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.local.engines.throwaway_mysql import ThrowawayFamilyServer, ThrowawayMariaDB, ThrowawayMySQL

numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class FamilyDatabase:
    """A fresh, empty database on the run's MySQL or MariaDB; ``user`` is its superuser."""

    scheme: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    name: str

    @property
    def url(self) -> str:
        """The URL for ``rdskit.connect``; plain TCP, no TLS."""
        return f"{self.scheme}://{self.user}:{self.password}@{self.host}:{self.port}/{self.name}"


@contextlib.contextmanager
def fresh_database(server: ThrowawayFamilyServer) -> Iterator[FamilyDatabase]:
    """A database for the length of the block; afterwards it is dropped, whoever is still connected to it."""
    name = f"test_{next(numbers)}"
    keep_confidential(server.password)
    with server.connect() as session:
        session.execute(f"create database {name}")
    scheme = server.installation.product.lower()
    yield FamilyDatabase(scheme, server.host, server.port, server.superuser, server.password, name)
    with server.connect() as session:
        # An open transaction of a connection that a test forgot would hold the drop up for ever.
        for (number,) in session.execute("select id from information_schema.processlist where db = %s", name):
            with contextlib.suppress(ServerRefused):  # it has ended by itself meanwhile
                session.execute(f"kill {number}")
        session.execute(f"drop database {name}")


def pytest_report_header() -> str:
    found = [each for providers in (MYSQL_PROVIDERS, MARIADB_PROVIDERS) for each in installed(providers)[:1]]
    names = (f"{each.product} {each.version} ({each.provider})" for each in found)
    return f"servers: {', '.join(names) or 'MySQL and MariaDB will be unpacked when a test needs them'}"


def needs_server(item: pytest.Item) -> bool:
    """Whether a test is about these servers, by its file or by its fixtures."""
    names = (item.name, item.path.stem, *getattr(item, "fixturenames", ()))
    return any("mysql" in name or "mariadb" in name for name in names)


def pytest_collection_finish(session: pytest.Session) -> None:
    # Before the first test: a download must not count against a test's own time limit.
    if not session.config.option.collectonly and any(map(needs_server, session.items)):
        ensure_mariadb(print)
        ensure_mysql(print)


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayMariaDB]:
    """A MariaDB of this run's own: ``host``, ``port``, ``superuser``, ``password``, ``dsn``."""
    with throwaway_mariadb(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture(scope="session")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayMySQL]:
    """A MySQL of this run's own: ``host``, ``port``, ``superuser``, ``password``, ``dsn``."""
    with throwaway_mysql(tmp_path_factory.mktemp("mysql")) as server:
        yield server


@pytest.fixture
def mariadb_database(mariadb: ThrowawayMariaDB) -> Iterator[FamilyDatabase]:
    """A fresh, empty database on the run's MariaDB."""
    with fresh_database(mariadb) as database:
        yield database


@pytest.fixture
def mysql_database(mysql: ThrowawayMySQL) -> Iterator[FamilyDatabase]:
    """A fresh, empty database on the run's MySQL."""
    with fresh_database(mysql) as database:
        yield database
