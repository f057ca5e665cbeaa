"""One throw-away PostgreSQL for the whole run, and a fresh database for each test that asks.

A database costs about 30 ms to create: the next one is made while a test uses the last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rdskit.integrations.pytest_plugin.databases import FreshDatabase, PostgresDatabases
from rdskit.local.engines.postgres.providers import find_postgres
from rdskit.local.engines.postgres.throwaway import throwaway_postgres
from tests.plugins.confidentiality import keep_confidential

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.integrations.pytest_plugin.databases import Spares
    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres

#: The name under which tests know what the pytest plugin of the package gives.
TestDatabase = FreshDatabase


def pytest_report_header() -> str:
    found = find_postgres()
    return f"servers: PostgreSQL {found.version} ({found.provider})"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayPostgres]:
    """Yield a PostgreSQL of this run's own: ``host``, ``port``, ``superuser``, ``password``, ``dsn``."""
    with throwaway_postgres(tmp_path_factory.mktemp("postgres"), settings={"wal_level": "logical"}) as server:
        keep_confidential(server.password)
        yield server


@pytest.fixture(scope="session")
def spare_databases(postgres: ThrowawayPostgres) -> Iterator[Spares]:
    """Return where fresh databases come from."""
    with PostgresDatabases(postgres, None).spares(ahead=1) as spares:
        yield spares


@pytest.fixture
def database(spare_databases: Spares) -> Iterator[TestDatabase]:
    """Yield a fresh, empty database for one test."""
    with spare_databases.one() as fresh:
        yield fresh
