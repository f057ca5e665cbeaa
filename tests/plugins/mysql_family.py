"""One throw-away MariaDB and one throw-away MySQL for the whole run, and a fresh database for each test that asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rdskit.integrations.pytest_plugin.databases import FamilyDatabases, FreshDatabase
from rdskit.local.engines.mysql.installations import (
    MARIADB_PROVIDERS,
    MYSQL_PROVIDERS,
    ensure_mariadb,
    ensure_mysql,
    installed,
)
from rdskit.local.engines.mysql.throwaway import throwaway_mariadb, throwaway_mysql
from tests.plugins.confidentiality import keep_confidential

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.integrations.pytest_plugin.databases import Spares
    from rdskit.local.engines.mysql.throwaway import ThrowawayMariaDB, ThrowawayMySQL

#: The name under which tests know what the pytest plugin of the package gives.
FamilyDatabase = FreshDatabase
#: None is made while a test runs: tests look at a server's transactions, and change its settings for all.
AHEAD = 0


def pytest_report_header() -> str:
    found = [each for providers in (MYSQL_PROVIDERS, MARIADB_PROVIDERS) for each in installed(providers)[:1]]
    names = (f"{each.product} {each.version} ({each.provider})" for each in found)
    return f"servers: {', '.join(names) or 'MySQL and MariaDB will be unpacked when a test needs them'}"


def needs_server(item: pytest.Item) -> bool:
    """Return whether a test is about these servers, by its file or by its fixtures."""
    names = (item.name, item.path.stem, *getattr(item, "fixturenames", ()))
    return any("mysql" in name or "mariadb" in name for name in names)


def pytest_collection_finish(session: pytest.Session) -> None:
    # Before the first test: a download must not count against a test's own time limit.
    options = session.config.option
    if options.speed != "quick" and not options.collectonly and any(map(needs_server, session.items)):
        ensure_mariadb(print)
        ensure_mysql(print)


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayMariaDB]:
    """Yield a MariaDB of this run's own: ``host``, ``port``, ``superuser``, ``password``, ``dsn``."""
    with throwaway_mariadb(tmp_path_factory.mktemp("mariadb")) as server:
        keep_confidential(server.password)
        yield server


@pytest.fixture(scope="session")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayMySQL]:
    """Yield a MySQL of this run's own: ``host``, ``port``, ``superuser``, ``password``, ``dsn``."""
    with throwaway_mysql(tmp_path_factory.mktemp("mysql")) as server:
        keep_confidential(server.password)
        yield server


@pytest.fixture(scope="session")
def mariadb_spares(mariadb: ThrowawayMariaDB) -> Iterator[Spares]:
    """Return where the fresh databases of the run's MariaDB come from."""
    with FamilyDatabases(mariadb, None).spares(AHEAD) as spares:
        yield spares


@pytest.fixture(scope="session")
def mysql_spares(mysql: ThrowawayMySQL) -> Iterator[Spares]:
    """Return where the fresh databases of the run's MySQL come from."""
    with FamilyDatabases(mysql, None).spares(AHEAD) as spares:
        yield spares


@pytest.fixture
def mariadb_database(mariadb_spares: Spares) -> Iterator[FamilyDatabase]:
    """Yield a fresh, empty database on the run's MariaDB."""
    with mariadb_spares.one() as database:
        yield database


@pytest.fixture
def mysql_database(mysql_spares: Spares) -> Iterator[FamilyDatabase]:
    """Yield a fresh, empty database on the run's MySQL."""
    with mysql_spares.one() as database:
        yield database
