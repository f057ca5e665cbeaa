"""Opens the connections of an engine: the host that serves now, a login that it takes, and patience."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rdskit.client.api import Refused, Search
from rdskit.errors import ConfigError
from rdskit.integrations.sqlalchemy.drivers import (
    arguments_for,
    await_first_answer,
    connect_within_limits,
    lasting_arguments,
    role_of,
    seconds_in,
    watch_host,
)
from rdskit.integrations.sqlalchemy.policy import refusal_of
from rdskit.integrations.sqlalchemy.refusals import as_driver_error
from rdskit.integrations.sqlalchemy.reports import reported_by
from rdskit.integrations.sqlalchemy.settings import ENGINES
from rdskit.integrations.sqlalchemy.waiting import waiting_for
from rdskit.kernel.targets import Engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Dialect
    from sqlalchemy.engine.interfaces import DBAPIConnection

    from rdskit.client.api import Destination, Located
    from rdskit.integrations.sqlalchemy.settings import Settings
    from rdskit.kernel.ports import Login
    from rdskit.kernel.topology import Host, Role

T = TypeVar("T")


class Connector:
    """Opens connections for one engine.

    Args:
        destination: where to.
        settings: how.
        role: which hosts serve this engine; readers give way to the writer where there are none.
    """

    def __init__(self, destination: Destination, settings: Settings, role: Role) -> None:
        self._search = Search(destination, role, settings.timeout, settings.connect_timeout)
        self._settings = settings
        self._lasting: dict[int, dict[str, Any]] = {}

    def connect(self, dialect: Dialect, given: list[Any], arguments: dict[str, Any]) -> DBAPIConnection:
        """Open a connection, trying again while hosts are away and ``timeout`` has not passed.

        Raises:
            RdskitError: the target, the credentials or AWS.
            Exception: an error of the driver, or an ``OperationalError`` of its module in place of one that is none.
        """

        def complete() -> dict[str, Any]:
            return arguments | self._lasting_arguments(dialect)

        try:
            return self._search.connect(_Opener(dialect, given, complete), waiting_for(dialect))
        except Refused as refused:
            raise as_driver_error(dialect, refused) from refused.__cause__

    def _lasting_arguments(self, dialect: Dialect) -> dict[str, Any]:
        process = os.getpid()  # the file with the authorities lives no longer than the process that wrote it
        found = self._lasting.get(process)
        if found is None or not Path(found.get("sslrootcert", os.curdir)).exists():
            found = self._lasting[process] = lasting_arguments(dialect.driver, self._settings)
        return found


@dataclass(frozen=True, slots=True)
class _Opener:
    """Opens what a dialect opens, at the host that it is given."""

    dialect: Dialect
    given: list[Any]
    arguments: Callable[[], dict[str, Any]]

    def check(self, located: Located) -> None:
        """Refuse another engine; MySQL's and MariaDB's dialects serve each other's servers."""
        if (ENGINES[self.dialect.name] is Engine.POSTGRES) != (located.engine is Engine.POSTGRES):
            raise ConfigError(
                f"the SQLAlchemy URL is one for {self.dialect.name}, and {located.target} runs {located.engine.value}: "
                "write the URL of that engine, or let rdskit.integrations.sqlalchemy.create_engine choose it"
            )

    def open(self, host: Host, login: Login, located: Located) -> DBAPIConnection:
        """Connect to one host."""
        found = self.arguments() | arguments_for(self.dialect.driver, host.endpoint, login, located.database)
        try:
            connection = connect_within_limits(self.dialect, self.given, found)
        except Exception as error:
            raise refusal_of(
                reported_by(error, self.dialect, is_disconnect=isinstance(error, OSError)), host.endpoint
            ) from error
        self._begin(watch_host, host, connection)
        self._begin(functools.partial(await_first_answer, seconds=seconds_in(self.dialect, found)), host, connection)
        return connection

    def role(self, host: Host, connection: DBAPIConnection) -> Role | None:
        """What the host says it is."""
        return self._begin(role_of, host, connection)

    def close(self, connection: DBAPIConnection) -> None:
        """End a connection that nobody gets."""
        self.dialect.do_terminate(connection)

    def _begin(self, step: Callable[[Dialect, DBAPIConnection], T], host: Host, connection: DBAPIConnection) -> T:
        """Take a first step on a connection of which nobody else knows yet: if it fails or is cancelled, that ends."""
        try:
            return step(self.dialect, connection)
        except (self.dialect.loaded_dbapi.Error, OSError) as error:
            self.close(connection)
            raise refusal_of(reported_by(error, self.dialect, is_disconnect=True), host.endpoint) from error
        except BaseException:
            self.close(connection)
            raise
