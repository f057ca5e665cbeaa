"""Start throw-away servers as the ini options configure them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

try:
    from rdskit.local.engines.mysql.installations import ensure_mariadb, ensure_mysql
    from rdskit.local.engines.mysql.throwaway import throwaway_mariadb, throwaway_mysql
    from rdskit.local.engines.postgres.providers import find_postgres
    from rdskit.local.engines.postgres.throwaway import throwaway_postgres
except ImportError as error:
    raise pytest.UsageError(f"rdskit's servers need {error.name}: pip install 'rdskit[local]'") from error

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rdskit.local.engines.mysql.throwaway import ThrowawayMariaDB, ThrowawayMySQL
    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres


def postgres(config: pytest.Config, directory: Path) -> AbstractContextManager[ThrowawayPostgres]:
    """Return a PostgreSQL server of the configured major version, with the settings of the ini file."""
    major: str = config.getini("rdskit_postgres_major")
    if major and not major.isdecimal():
        raise pytest.UsageError(f"rdskit_postgres_major = {major} is not a major version; give a number such as 17")
    binaries = find_postgres(int(major) if major else None)
    return throwaway_postgres(directory, settings=settings(config, "postgres"), binaries=binaries)


def mysql(config: pytest.Config, directory: Path) -> AbstractContextManager[ThrowawayMySQL]:
    """Return a MySQL server with the settings of the ini file; downloaded to the user's cache if not installed."""
    installation = ensure_mysql(reporter(config))
    return throwaway_mysql(directory, settings=settings(config, "mysql"), installation=installation)


def mariadb(config: pytest.Config, directory: Path) -> AbstractContextManager[ThrowawayMariaDB]:
    """Return a MariaDB server with the settings of the ini file; downloaded to the user's cache if not installed."""
    installation = ensure_mariadb(reporter(config))
    return throwaway_mariadb(directory, settings=settings(config, "mariadb"), installation=installation)


def settings(config: pytest.Config, engine: str) -> dict[str, str]:
    """Parse the ini option ``rdskit_<engine>_settings``.

    Raises:
        UsageError: a line is not of the form ``name = value``.
    """
    option = f"rdskit_{engine}_settings"
    found = {}
    for line in config.getini(option):
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise pytest.UsageError(f"{option}: {line!r} is not a setting; write name = value")
        found[name.strip()] = value.strip()
    return found


def reporter(config: pytest.Config) -> Callable[[str], None]:
    """Return a function that reports a download to the terminal; an xdist worker has none and reports nothing."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    return terminal.write_line if terminal is not None else lambda _: None
