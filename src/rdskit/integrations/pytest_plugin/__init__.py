"""Fixtures that give a test suite real databases: throw-away servers, a fresh database for each test, a local RDS.

The types of the fixtures can be imported from here, for annotations: ``FreshDatabase``, ``LocalRds``,
``ThrowawayPostgres``, ``ThrowawayMySQL`` and ``ThrowawayMariaDB``.

pytest loads this module in every project that has rdskit installed. So it imports and starts nothing until a fixture is
requested. Under pytest-xdist each worker has its own servers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rdskit.integrations.pytest_plugin.databases import FreshDatabase, Spares
    from rdskit.integrations.pytest_plugin.local_rds import LocalRds
    from rdskit.local.engines.mysql.throwaway import ThrowawayMariaDB, ThrowawayMySQL
    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres

__all__ = ["FreshDatabase", "LocalRds", "ThrowawayMariaDB", "ThrowawayMySQL", "ThrowawayPostgres"]

_SETTINGS = ("postgres", "mysql", "mariadb")
_TYPES = {
    "FreshDatabase": "rdskit.integrations.pytest_plugin.databases",
    "LocalRds": "rdskit.integrations.pytest_plugin.local_rds",
    "ThrowawayMariaDB": "rdskit.local.engines.mysql.throwaway",
    "ThrowawayMySQL": "rdskit.local.engines.mysql.throwaway",
    "ThrowawayPostgres": "rdskit.local.engines.postgres.throwaway",
}

if not TYPE_CHECKING:  # a type checker knows every name from the imports above, and reports any other

    def __getattr__(name: str) -> Any:
        if name not in _TYPES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_TYPES[name]), name)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's ini options."""
    for engine in _SETTINGS:
        parser.addini(f"rdskit_{engine}_settings", f"server settings of rdskit_{engine}: name = value", "linelist")
    parser.addini("rdskit_postgres_major", "major version of rdskit_postgres; by default the newest installed")
    parser.addini("rdskit_spare_databases", "databases of each server that are created ahead of need", default="1")


@pytest.fixture(scope="session")
def rdskit_schema() -> Callable[[FreshDatabase], None] | None:
    """Override this with a function that fills a new database; by default the databases are empty.

    On PostgreSQL it runs once and the result is copied; on MySQL and MariaDB it runs for each database, in another
    thread. It has to close its connections.
    """
    return None


@pytest.fixture(scope="session")
def rdskit_postgres(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ThrowawayPostgres]:
    """Start a PostgreSQL server for the whole run: ``host``, ``port``, ``superuser``, ``password``, ``dsn``."""
    from rdskit.integrations.pytest_plugin import servers  # noqa: PLC0415 - loaded when it is used

    with servers.postgres(request.config, tmp_path_factory.mktemp("rdskit-postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def rdskit_mysql(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayMySQL]:
    """Start a MySQL server for the whole run: ``host``, ``port``, ``superuser``, ``password``, ``dsn``."""
    from rdskit.integrations.pytest_plugin import servers  # noqa: PLC0415 - loaded when it is used

    with servers.mysql(request.config, tmp_path_factory.mktemp("rdskit-mysql")) as server:
        yield server


@pytest.fixture(scope="session")
def rdskit_mariadb(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ThrowawayMariaDB]:
    """Start a MariaDB server for the whole run: ``host``, ``port``, ``superuser``, ``password``, ``dsn``."""
    from rdskit.integrations.pytest_plugin import servers  # noqa: PLC0415 - loaded when it is used

    with servers.mariadb(request.config, tmp_path_factory.mktemp("rdskit-mariadb")) as server:
        yield server


@pytest.fixture(scope="session")
def rdskit_postgres_spares(
    request: pytest.FixtureRequest,
    rdskit_postgres: ThrowawayPostgres,
    rdskit_schema: Callable[[FreshDatabase], None] | None,
) -> Iterator[Spares]:
    """Prepare the fresh databases of ``rdskit_postgres`` ahead of need."""
    from rdskit.integrations.pytest_plugin.databases import PostgresDatabases  # noqa: PLC0415 - loaded when used

    ahead = _spare_count(request.config)
    with PostgresDatabases(rdskit_postgres, rdskit_schema).spares(ahead) as spares:
        yield spares


@pytest.fixture(scope="session")
def rdskit_mysql_spares(
    request: pytest.FixtureRequest,
    rdskit_mysql: ThrowawayMySQL,
    rdskit_schema: Callable[[FreshDatabase], None] | None,
) -> Iterator[Spares]:
    """Prepare the fresh databases of ``rdskit_mysql`` ahead of need."""
    from rdskit.integrations.pytest_plugin.databases import FamilyDatabases  # noqa: PLC0415 - loaded when used

    ahead = _spare_count(request.config)
    with FamilyDatabases(rdskit_mysql, rdskit_schema).spares(ahead) as spares:
        yield spares


@pytest.fixture(scope="session")
def rdskit_mariadb_spares(
    request: pytest.FixtureRequest,
    rdskit_mariadb: ThrowawayMariaDB,
    rdskit_schema: Callable[[FreshDatabase], None] | None,
) -> Iterator[Spares]:
    """Prepare the fresh databases of ``rdskit_mariadb`` ahead of need."""
    from rdskit.integrations.pytest_plugin.databases import FamilyDatabases  # noqa: PLC0415 - loaded when used

    ahead = _spare_count(request.config)
    with FamilyDatabases(rdskit_mariadb, rdskit_schema).spares(ahead) as spares:
        yield spares


@pytest.fixture
def rdskit_postgres_database(rdskit_postgres_spares: Spares) -> Iterator[FreshDatabase]:
    """Yield a fresh PostgreSQL database: ``url``, ``host``, ``port``, ``user``, ``password``, ``name``."""
    with rdskit_postgres_spares.one() as database:
        yield database


@pytest.fixture
def rdskit_mysql_database(rdskit_mysql_spares: Spares) -> Iterator[FreshDatabase]:
    """Yield a fresh MySQL database: ``url``, ``host``, ``port``, ``user``, ``password``, ``name``."""
    with rdskit_mysql_spares.one() as database:
        yield database


@pytest.fixture
def rdskit_mariadb_database(rdskit_mariadb_spares: Spares) -> Iterator[FreshDatabase]:
    """Yield a fresh MariaDB database: ``url``, ``host``, ``port``, ``user``, ``password``, ``name``."""
    with rdskit_mariadb_spares.one() as database:
        yield database


@pytest.fixture(scope="session")
def rdskit_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRds]:
    """Start a local RDS for the whole run; from its first use on, the environment points AWS clients at it."""
    from rdskit.integrations.pytest_plugin import local_rds  # noqa: PLC0415 - loaded when it is used

    with local_rds.running(tmp_path_factory.mktemp("rdskit-local")) as local, pytest.MonkeyPatch.context() as patch:
        for name, value in local.environment.items():
            patch.setenv(name, value)
        yield local


def _spare_count(config: pytest.Config) -> int:
    value = config.getini("rdskit_spare_databases")
    if not str(value).isdecimal() or int(value) < 1:
        raise pytest.UsageError(f"rdskit_spare_databases = {value} is not a number of databases; give 1 or more")
    return int(value)
