"""Open Django's connections: find the current host, and log in to it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from rdskit.client.api import Destination, Search
from rdskit.errors import ConfigError
from rdskit.kernel.connect_errors import connect_error
from rdskit.kernel.ports import DriverError
from rdskit.runtime.cutting import cut_after
from rdskit.runtime.keepalive import keep_alive_unwatched
from rdskit.runtime.waiting import ThreadWaiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.client.api import Located
    from rdskit.integrations.django.dialects import Dialect
    from rdskit.integrations.django.settings import DatabaseSettings
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Login
    from rdskit.kernel.targets import Target
    from rdskit.kernel.topology import Role


class Connector:
    """Open the connections of one entry of ``DATABASES``.

    Args:
        settings: the entry's.
        dialect: the driver's.
    """

    def __init__(self, settings: DatabaseSettings, dialect: Dialect) -> None:
        self._dialect = dialect
        self._search = _search(settings)
        self._waiting = ThreadWaiting()
        self._settings = settings

    def connect(self, opening: Callable[[dict[str, Any]], Any], *, moved: bool) -> Any:
        """Open a connection; retry until ``timeout`` while the hosts are unreachable.

        Args:
            opening: calls the driver with the given host, port, user and password, and with its own arguments.
            moved: look the topology up even if it is known, because the last connection was lost.

        Raises:
            RdskitError: the target, the credentials or AWS failed.
            DriverError: no host accepted a connection.
        """
        driver = _Driver(self._dialect, opening, self._settings)
        return self._search.connect(driver, self._waiting, check=self._check, moved=moved)

    def reach(self) -> dict[str, Any]:
        """Return host, port, user and password for another program, such as a shell or a dump.

        Raises:
            RdskitError: the target, the credentials or AWS failed, or the topology has no writer.
        """
        try:
            endpoint, login = self._search.reach(self._waiting, check=self._check)
        except DriverError as error:
            raise error.public from error.__cause__
        return _arguments(endpoint, login)

    def _check(self, located: Located) -> None:
        """Raise if the located engine belongs to another backend."""
        if located.engine not in self._dialect.engines:
            raise ConfigError(
                f"{located.target} runs {located.engine.value}: ENGINE names the backend of another engine"
            )


class _Driver:
    """Open a connection of Django's own backend to a given host."""

    def __init__(self, dialect: Dialect, opening: Callable[[dict[str, Any]], Any], settings: DatabaseSettings) -> None:
        self._dialect = dialect
        self._opening = opening
        self._settings = settings

    def open(self, endpoint: Endpoint, login: Login, _database: str | None, _timeout: float) -> Any:
        """Connect to one host; ``NAME`` has the database, and ``OPTIONS`` the timeout."""
        try:
            connection = self._dialect.open(self._opening, _arguments(endpoint, login), self._settings)
        except self._dialect.errors as error:
            raise self._connect_error(error, endpoint, login.user) from error
        try:
            with cut_after(self._dialect.descriptor(connection), self._settings.connect_timeout):
                self._dialect.run_first_query(connection)  # Django's own first queries have no timeout
        except self._dialect.errors as error:
            connection.close()
            raise self._connect_error(error, endpoint, login.user) from error
        keep_alive_unwatched(self._dialect.descriptor(connection))
        return connection

    def role(self, endpoint: Endpoint, connection: Any) -> Role | None:
        """Return the role that the host reports."""
        try:
            return self._dialect.role(connection)
        except self._dialect.errors as error:
            raise self._connect_error(error, endpoint) from error

    def close(self, connection: Any) -> None:
        """Close a connection that the application does not receive."""
        connection.close()

    def _connect_error(self, error: Exception, endpoint: Endpoint, user: str | None = None) -> DriverError:
        return connect_error(self._dialect.problem(error), endpoint, str(error).strip(), user)


@functools.cache
def _search(settings: DatabaseSettings) -> Search:
    """Return the search of an entry, cached for all threads, so that they take turns at the readers."""
    credentials: Any = settings.credentials  # a string or an object, by whose identity it is known
    destination = _destination(settings.target, credentials)
    return Search(destination, settings.role, settings.timeout, settings.connect_timeout)


@functools.cache
def _destination(target: Target, credentials: Any) -> Destination:
    """Return a destination, shared by a writer and its readers: they share lookups, tokens and secrets."""
    return Destination(target, credentials)


def _arguments(endpoint: Endpoint, login: Login) -> dict[str, Any]:
    password = {} if login.password is None else {"password": login.password}
    return {"host": endpoint.host, "port": endpoint.port, "user": login.user, **password}
