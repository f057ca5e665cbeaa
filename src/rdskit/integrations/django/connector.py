"""Opens Django's connections: the host that serves now, a login that it takes, and patience."""

from __future__ import annotations

import functools
import itertools
import random
import time
from typing import TYPE_CHECKING, Any

from rdskit.client.credentials import pause_after_refusal
from rdskit.client.database.destination import Destination
from rdskit.errors import ConfigError, ConnectError
from rdskit.integrations.django.dialects import Refusal
from rdskit.integrations.django.policy import hosts_for
from rdskit.kernel.backoff import CONNECT
from rdskit.kernel.topology import Role
from rdskit.sync import wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.integrations.django.dialects import Dialect
    from rdskit.integrations.django.settings import DatabaseSettings
    from rdskit.kernel.ports import Login
    from rdskit.kernel.targets import Target
    from rdskit.kernel.topology import Host

_turns = itertools.count()


class Refused(ConnectError):  # noqa: N818 - named as the public errors are
    """A host could not be connected to. Its ``__cause__`` is the driver's error, if it was one.

    Attributes:
        refusal: what that calls for.
    """

    def __init__(self, message: str, refusal: Refusal) -> None:
        super().__init__(message)
        self.refusal = refusal


class Connector:
    """Opens the connections of one entry of ``DATABASES``.

    Args:
        settings: what the entry says.
        dialect: of the driver.
    """

    def __init__(self, settings: DatabaseSettings, dialect: Dialect) -> None:
        self._settings = settings
        self._dialect = dialect
        credentials: Any = settings.credentials  # a string or an object, by whose identity it is known
        self._destination = _destination(settings.target, credentials)

    def connect(self, opening: Callable[[dict[str, Any]], Any], *, anew: bool) -> Any:
        """Open a connection, trying again while the hosts are away and ``timeout`` has not passed.

        Args:
            opening: calls the driver with arguments for host, port, user and password besides its own.
            anew: look for the writer again, because the last one was lost.

        Raises:
            RdskitError: there is none, or the target, the credentials or AWS are at fault.
        """
        started = time.monotonic()
        while True:
            try:
                return self._try_hosts(opening, anew=anew)
            except Refused as refused:
                away, anew = time.monotonic() - started, True
                if refused.refusal is not Refusal.AWAY or away >= self._settings.timeout:
                    raise
            time.sleep(min(CONNECT.delay(away, random.random()), self._settings.timeout - away))  # noqa: S311 - jitter

    def reach(self) -> dict[str, Any]:
        """Host, port, user and password for somebody else to connect with: a shell, a dump."""
        for host in self._hosts(anew=True):
            return self._arguments(host, wait(self._destination.login(host.endpoint)))
        raise _no_writer()

    def _try_hosts(self, opening: Callable[[dict[str, Any]], Any], *, anew: bool) -> Any:
        error = _no_writer()
        for host in self._hosts(anew=anew):
            try:
                return self._verified(host, self._log_in(opening, host))
            except Refused as refused:
                if refused.refusal is not Refusal.AWAY:
                    raise
                error = refused
        raise error

    def _hosts(self, *, anew: bool) -> tuple[Host, ...]:
        located = wait(self._destination.located())
        if located.engine not in self._dialect.engines:
            raise ConfigError(
                f"{located.target} runs {located.engine.value}: ENGINE names the backend of another engine"
            )
        return hosts_for(self._settings.role, wait(self._destination.topology(anew=anew)), next(_turns))

    def _log_in(self, opening: Callable[[dict[str, Any]], Any], host: Host) -> Any:
        """Connect to one host; a refused login is tried again while the credentials have another one to offer."""
        login = wait(self._destination.login(host.endpoint))
        started, refusals = time.monotonic(), 0
        while True:
            try:
                return self._open(opening, host, login)
            except Refused as error:
                if error.refusal is not Refusal.LOGIN:
                    raise
                refusals += 1
                pause = pause_after_refusal(refusals, time.monotonic() - started, self._settings.connect_timeout)
                refused, login = login, wait(self._destination.login(host.endpoint, login))
                if pause is None or (login == refused and not self._rotates()):
                    raise
            time.sleep(pause)

    def _open(self, opening: Callable[[dict[str, Any]], Any], host: Host, login: Login) -> Any:
        try:
            return opening(self._arguments(host, login))
        except self._dialect.errors as error:
            raise Refused(f"{host.endpoint}: {error}", self._dialect.refusal(error)) from error

    def _verified(self, host: Host, connection: Any) -> Any:
        if host.role is Role.WRITER and self._dialect.role(connection) is Role.READER:
            connection.close()
            raise Refused(f"{host.endpoint} answers as a replica: the failover is not complete", Refusal.AWAY)
        return connection

    def _arguments(self, host: Host, login: Login) -> dict[str, Any]:
        password = {} if login.password is None else {"password": login.password}
        return {"host": host.endpoint.host, "port": host.endpoint.port, "user": login.user, **password}

    def _rotates(self) -> bool:
        return bool(getattr(wait(self._destination.located()).credentials, "rotates", False))


@functools.cache
def _destination(target: Target, credentials: Any) -> Destination:
    """One for all threads: what has been looked up, minted or read serves all of them."""
    return Destination(target, credentials)


def _no_writer() -> Refused:
    return Refused("the topology shows no host that takes writes: a failover goes on", Refusal.AWAY)
