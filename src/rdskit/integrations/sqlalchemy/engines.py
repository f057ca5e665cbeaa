"""``create_engine`` and ``create_async_engine`` for the targets of ``rdskit.connect``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext import asyncio as async_sqlalchemy

from rdskit.client.api import Destination
from rdskit.integrations.sqlalchemy.settings import LICENSED, Settings, check_backend, target_of
from rdskit.kernel.targets import Engine, Target, parse_target
from rdskit.runtime.background import wait

if TYPE_CHECKING:
    import os

    from sqlalchemy.ext.asyncio import AsyncEngine

    from rdskit.client.api import Iam
    from rdskit.kernel.ports import Credentials

_SYNC: Final = {Engine.POSTGRES: "psycopg", Engine.MYSQL: "pymysql", Engine.MARIADB: "pymysql"}
_ASYNC: Final = {Engine.POSTGRES: "asyncpg", Engine.MYSQL: "asyncmy", Engine.MARIADB: "asyncmy"}
_NAMES: Final = {Engine.POSTGRES: "postgresql", Engine.MYSQL: "mysql", Engine.MARIADB: "mariadb"}


def create_engine(
    target: str | URL,
    *,
    credentials: str | Credentials | Iam | None = None,
    tls: str = "verify-full",
    ca: str | os.PathLike[str] | None = None,
    timeout: float = 30.0,
    connect_timeout: float = 5.0,
    cleartext_password: bool = False,
    **options: Any,
) -> sqlalchemy.Engine:
    """Create a SQLAlchemy engine whose connections go to the current writer.

    Args:
        target: as for ``rdskit.connect``, through psycopg or PyMySQL; or a SQLAlchemy URL that names a driver. For
            ``rds://`` and ``secretsmanager:`` the engine is looked up in AWS at once.
        credentials: as for ``rdskit.connect``; a token or a rotated password is fetched at each new connection.
        tls: as for ``rdskit.connect``.
        ca: as for ``rdskit.connect``.
        cleartext_password: as for ``rdskit.connect``.
        timeout: seconds that one checkout may look for the writer, retries included.
        connect_timeout: seconds for one attempt to open a connection.
        options: further arguments for SQLAlchemy.

    Raises:
        RdskitError: the target or an option is wrong, or the lookup in AWS failed.
    """
    settings = Settings(None, credentials, tls, ca, timeout, connect_timeout, cleartext_password)
    url, plugin_options = _prepared(target, settings, _SYNC)
    return sqlalchemy.create_engine(url, **options, **plugin_options)


def create_async_engine(
    target: str | URL,
    *,
    credentials: str | Credentials | Iam | None = None,
    tls: str = "verify-full",
    ca: str | os.PathLike[str] | None = None,
    timeout: float = 30.0,
    connect_timeout: float = 5.0,
    cleartext_password: bool = False,
    **options: Any,
) -> AsyncEngine:
    """Create an asynchronous engine whose connections go to the current writer, through asyncpg or asyncmy.

    Arguments and errors are those of ``create_engine``.
    """
    settings = Settings(None, credentials, tls, ca, timeout, connect_timeout, cleartext_password)
    url, plugin_options = _prepared(target, settings, _ASYNC)
    return async_sqlalchemy.create_async_engine(url, **options, **plugin_options)


def _prepared(target: str | URL, settings: Settings, drivers: dict[Engine, str]) -> tuple[URL, dict[str, Any]]:
    """Return the URL with the plugin, and the options that the plugin receives besides it."""
    if isinstance(target, URL) or "+" in target.partition("://")[0]:
        url = make_url(target)
        check_backend(url)
        licensed = url.get_backend_name() in LICENSED
        destination = None if licensed else Destination(target_of(url, settings), settings.credentials)
    else:
        parsed = parse_target(target)
        destination = Destination(parsed, settings.credentials)
        url = _url_of(parsed, destination, drivers)
    named = url.query.get("plugin", ())
    if "rdskit" not in ((named,) if isinstance(named, str) else named):
        url = url.update_query_dict({"plugin": "rdskit"}, append=True)
    return url, {"rdskit_settings": settings, "rdskit_destination": destination}


def _url_of(target: Target, destination: Destination, drivers: dict[Engine, str]) -> URL:
    """Return a URL for the target's engine, without the password."""
    engine, database = target.engine, target.database
    if engine is None:
        located = wait(destination.located())
        engine, database, target = located.engine, located.database, located.target
    host, port = target.endpoint or (None, None)
    return URL.create(f"{_NAMES[engine]}+{drivers[engine]}", target.user, None, host, port, database)
