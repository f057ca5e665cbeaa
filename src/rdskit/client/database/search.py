"""The search for a host that serves a connection which not our own drivers open, with a login that it takes."""

from __future__ import annotations

import functools
import itertools
import random
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rdskit.client.credentials import pause_after_refusal
from rdskit.client.database.refusals import Refusal, Refused, hosts_for
from rdskit.errors import NoWriterError
from rdskit.kernel.backoff import CONNECT
from rdskit.kernel.topology import Role
from rdskit.runtime.background import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from rdskit.client.database.destination import Destination
    from rdskit.client.database.location import Located
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Credentials, Login
    from rdskit.kernel.topology import Host

T = TypeVar("T")
C = TypeVar("C")


class Waiting(Protocol):
    """How code that looks synchronous waits, in a thread or in a greenlet of an event loop."""

    def run(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run what ``begin`` gives on rdskit's own event loop, and give its result."""
        ...

    def pause(self, seconds: float) -> None:
        """Do nothing for a while."""
        ...


class ThreadWaiting:
    """In a thread: it is the only one that stops."""

    def run(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run what ``begin`` gives on rdskit's own event loop, and give its result."""
        return wait(begin())

    def pause(self, seconds: float) -> None:
        """Do nothing for a while."""
        time.sleep(seconds)


class Opener(Protocol[C]):
    """Opens connections of one driver."""

    def check(self, located: Located) -> None:
        """Refuse a target that this driver does not serve.

        Raises:
            ConfigError: it is one.
        """
        ...

    def open(self, host: Host, login: Login, located: Located) -> C:
        """Connect to one host.

        Raises:
            Refused: it could not be connected to.
        """
        ...

    def role(self, host: Host, connection: C) -> Role | None:
        """What the host says it is; None where it does not tell.

        Raises:
            Refused: the connection was lost over it.
        """
        ...

    def close(self, connection: C) -> None:
        """End a connection that nobody gets."""
        ...


class Search:
    """Finds, for each connection anew, the host that serves it. Threads share it, so that readers have equal shares.

    Args:
        destination: where to.
        role: which hosts serve; readers give way to the writer where there are none.
        timeout: seconds for which hosts that are away are tried again.
        connect_timeout: seconds for which refused logins are.
    """

    def __init__(self, destination: Destination, role: Role, timeout: float, connect_timeout: float) -> None:
        self._destination = destination
        self._role = role
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._turns = itertools.count()

    def connect(self, opener: Opener[C], waiting: Waiting, *, anew: bool = False) -> C:
        """Open a connection, trying again while the hosts are away and ``timeout`` has not passed.

        Args:
            opener: of the driver.
            waiting: how the caller waits.
            anew: look for the writer again, because the last one was lost.

        Raises:
            RdskitError: the target, the credentials or AWS are at fault.
            Refused: no host could be connected to.
        """
        turn = next(self._turns)
        return patiently(
            lambda again: self._try_hosts(opener, waiting, turn, anew=anew or again), self._timeout, waiting
        )

    def reach(self, opener: Opener[Any], waiting: Waiting) -> tuple[Endpoint, Login]:
        """Host and login for somebody else to connect with: a shell, a dump.

        Raises:
            Refused: the topology shows no host.
        """
        opener.check(waiting.run(self._destination.located))
        for host in self._hosts(waiting, 0, anew=True):
            return host.endpoint, waiting.run(functools.partial(self._destination.login, host.endpoint))
        raise _no_writer()

    def _try_hosts(self, opener: Opener[C], waiting: Waiting, turn: int, *, anew: bool) -> C:
        located = waiting.run(self._destination.located)
        opener.check(located)
        error = _no_writer()
        for host in self._hosts(waiting, turn, anew=anew):
            try:
                return self._verified(opener, host, self._opened(opener, host, located, waiting))
            except Refused as refused:
                if refused.refusal is not Refusal.AWAY:
                    raise
                error = refused
        raise error

    def _hosts(self, waiting: Waiting, turn: int, *, anew: bool) -> tuple[Host, ...]:
        return hosts_for(self._role, waiting.run(lambda: self._destination.topology(anew=anew)), turn)

    def _opened(self, opener: Opener[C], host: Host, located: Located, waiting: Waiting) -> C:
        def opening(login: Login) -> C:
            return opener.open(host, login, located)

        return log_in(opening, located.credentials, host.endpoint, self._connect_timeout, waiting)

    def _verified(self, opener: Opener[C], host: Host, connection: C) -> C:
        if host.role is not Role.WRITER or opener.role(host, connection) is not Role.READER:
            return connection
        opener.close(connection)
        raise Refused(Refusal.AWAY, NoWriterError(f"{host.endpoint} answers as a replica: the failover goes on"))


def patiently(attempt: Callable[[bool], T], timeout: float, waiting: Waiting) -> T:
    """Try until the hosts are there.

    Args:
        attempt: opens a connection; it is told whether one was made before.
        timeout: seconds after which the last error is raised.
        waiting: how the caller waits.
    """
    started, again = time.monotonic(), False
    while True:
        try:
            return attempt(again)
        except Refused as refused:
            away, again = time.monotonic() - started, True
            if refused.refusal is not Refusal.AWAY or away >= timeout:
                raise
        waiting.pause(min(CONNECT.delay(away, random.random()), timeout - away))  # noqa: S311 - jitter, not a secret


def log_in(
    opening: Callable[[Login], T], credentials: Credentials, endpoint: Endpoint, limit: float, waiting: Waiting
) -> T:
    """Open a connection; a refused login is tried again while the credentials have another one to offer.

    Args:
        opening: opens it with a login.
        credentials: who logs in.
        endpoint: where.
        limit: seconds that all attempts may take together.
        waiting: how the caller waits.
    """
    login = waiting.run(lambda: credentials.login(endpoint, refused=None))
    started, refusals = time.monotonic(), 0
    while True:
        try:
            return opening(login)
        except Refused as error:
            if error.refusal is not Refusal.LOGIN:
                raise
            refusals += 1
            pause = pause_after_refusal(refusals, time.monotonic() - started, limit)
            refused, login = login, waiting.run(functools.partial(credentials.login, endpoint, refused=login))
            if pause is None or (login == refused and not getattr(credentials, "rotates", False)):
                raise
        waiting.pause(pause)


def _no_writer() -> Refused:
    return Refused(Refusal.AWAY, NoWriterError("the topology shows no host that takes writes; the failover goes on"))
