"""The SQLAlchemy plugin: ``postgresql+psycopg://…?plugin=rdskit`` in any SQLAlchemy URL."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import CreateEnginePlugin

from rdskit.client.api import Destination
from rdskit.errors import ConfigError
from rdskit.integrations.sqlalchemy.checkout import watch_checkouts
from rdskit.integrations.sqlalchemy.connector import Connector
from rdskit.integrations.sqlalchemy.failures import watch_errors
from rdskit.integrations.sqlalchemy.oracle_mssql import OracleMssqlConnector
from rdskit.integrations.sqlalchemy.settings import (
    ENGINES,
    QUERY_NAMES,
    Settings,
    check_backend,
    refuse_tls_names,
    settings_of,
    target_of,
)
from rdskit.kernel.topology import Role

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Dialect, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

_SETTINGS: Final = "rdskit_settings"
_ROLE: Final = "rdskit_role"
_DESTINATION: Final = "rdskit_destination"


@dataclass(slots=True)
class Setup:
    """The creation arguments of an engine, from which its engine for readers is created too."""

    url: URL
    options: dict[str, Any] = field(repr=False)
    settings: Settings
    destination: Destination | None  # None for Oracle and SQL Server
    role: Role
    readers: Engine | None = None


_readers_lock = threading.Lock()
#: By dialect, because all copies of an engine (``execution_options``) share it.
_setups: weakref.WeakKeyDictionary[Dialect, Setup] = weakref.WeakKeyDictionary()


class RdskitPlugin(CreateEnginePlugin):
    """Add rdskit's credentials, TLS, writer lookup and error classes to an engine.

    The URL's query may have ``target``, ``credentials``, ``tls``, ``ca``, ``timeout``, ``connect_timeout`` and
    ``cleartext_password`` (``true``), each as in ``rdskit.connect``.
    """

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        for name in ("creator", "pool"):
            if kwargs.get(name) is not None:
                raise ConfigError(f"{name}= opens connections by itself, past rdskit: leave it out, or plugin=rdskit")
        check_backend(url)
        refuse_tls_names({*url.query, *kwargs.get("connect_args", {})})
        options = dict(kwargs)
        settings: Settings = kwargs.pop(_SETTINGS, None) or settings_of(url)
        role: Role = kwargs.pop(_ROLE, Role.WRITER)
        destination: Destination | None = kwargs.pop(_DESTINATION, None)
        if destination is None and url.get_backend_name() in ENGINES:
            destination = Destination(target_of(url, settings), settings.credentials)
        self._setup = Setup(url, options, settings, destination, role)

    def update_url(self, url: URL) -> URL:
        """Remove the plugin's keys from the URL."""
        return url.difference_update_query(QUERY_NAMES)

    def engine_created(self, engine: Engine) -> None:
        """Register the plugin's listeners with the engine."""
        setup = self._setup
        connector: Connector | OracleMssqlConnector
        if setup.destination is None:
            connector = OracleMssqlConnector(engine.url, setup.settings)
        else:
            connector = Connector(setup.destination, setup.settings, setup.role)

        def open_one(
            dialect: Dialect, _entry: ConnectionPoolEntry, given: list[Any], arguments: dict[str, Any]
        ) -> DBAPIConnection:
            return connector.connect(dialect, given, arguments)

        event.listen(engine, "do_connect", open_one)
        watch_errors(engine, setup.role)
        if setup.destination is not None:
            watch_checkouts(engine)
        _setups[engine.dialect] = setup


def is_ours(engine: Engine) -> bool:
    """Return whether an engine uses the plugin, so that it may have readers."""
    return engine.dialect in _setups


def readers_of(engine: Engine) -> Engine:
    """Return the engine for the read replicas of the same target, created on first use; it balances between them.

    Without replicas its connections go to the writer. For Oracle and SQL Server the engine itself is returned. It is
    disposed of together with ``engine``.

    Args:
        engine: an engine of rdskit's; for an ``AsyncEngine`` its ``sync_engine``.

    Raises:
        ConfigError: the engine is not one of rdskit's.
    """
    setup = _setups.get(engine.dialect)
    if setup is None:
        raise ConfigError(
            f"{engine!r} is not an engine of rdskit's: create it with rdskit.integrations.sqlalchemy.create_engine, "
            "or write ?plugin=rdskit in its URL"
        )
    if setup.role is Role.READER or setup.destination is None:
        return engine
    with _readers_lock:
        if setup.readers is None:
            options = setup.options | {_ROLE: Role.READER, _SETTINGS: setup.settings, _DESTINATION: setup.destination}
            readers = setup.readers = sqlalchemy.create_engine(setup.url, **options)
            event.listen(engine, "engine_disposed", lambda _: readers.dispose())
        return setup.readers
