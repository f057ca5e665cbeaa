"""The search for a host that serves a connection which a synchronous driver opens, with a login that it takes."""

from __future__ import annotations

import functools
import itertools
import random
import time
from typing import TYPE_CHECKING, Protocol, TypeVar

from rdskit.client.credentials import log_in_here
from rdskit.client.targets.policy import hosts_for, pause_while_away
from rdskit.drivers.greeting import DETECTION_TIMEOUT, engine_at, other_protocol
from rdskit.errors import AuthenticationError
from rdskit.kernel.connect_errors import no_writer_known, no_writer_there
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.topology import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.client.targets.destination import Destination
    from rdskit.client.targets.location import Located
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Login
    from rdskit.kernel.topology import Host
    from rdskit.runtime.waiting import Waiting

C = TypeVar("C")


class SyncDriver(Protocol[C]):
    """Opens connections of a driver without ``async``: the driver's own, which the application gets."""

    def open(self, endpoint: Endpoint, login: Login, database: str | None, timeout: float, /) -> C:
        """Connect to one host.

        Args:
            endpoint: the host.
            login: who logs in.
            database: the target's; None where it names none.
            timeout: seconds for the attempt. A framework that configures its driver itself may ignore it.

        Raises:
            DriverError: it could not be connected to, as `kernel.connect_errors` describes.
        """
        ...

    def role(self, endpoint: Endpoint, connection: C, /) -> Role | None:
        """Return what the host says it is; None where it does not tell.

        Raises:
            DriverError: the connection was lost over it.
        """
        ...

    def close(self, connection: C, /) -> None:
        """Close a connection that the application does not get."""
        ...


class Search:
    """Finds the host that serves, for each connection again. Threads share it, so that readers get equal shares.

    Args:
        destination: where to.
        role: which hosts serve; readers give way to the writer where there are none.
        timeout: seconds for which hosts that are away are tried again.
        connect_timeout: seconds for one attempt, and for which refused logins are tried again.
    """

    def __init__(self, destination: Destination, role: Role, timeout: float, connect_timeout: float) -> None:
        self._destination = destination
        self._role = role
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._turns = itertools.count()
        self._met: set[Endpoint] = set()  # answered as they should, or were asked what they are

    def connect(
        self,
        driver: SyncDriver[C],
        waiting: Waiting,
        *,
        check: Callable[[Located], None],
        moved: bool = False,
    ) -> C:
        """Open a connection, trying again while the hosts are away and ``timeout`` has not passed.

        Args:
            driver: opens it.
            waiting: how the caller waits.
            check: raises ``ConfigError`` for a target that the driver does not serve.
            moved: look the topology up even if it is known, because the last connection was lost.

        Raises:
            RdskitError: the target, the credentials or AWS are at fault.
            DriverError: no host could be connected to.
        """
        turn, look = next(self._turns), moved

        def attempt(left: float) -> C:
            nonlocal look
            found_out, look = look, True  # what the first attempt knew may be out of date for the next one
            timeout = min(self._connect_timeout, left)
            return self._try_hosts(driver, waiting, check, turn, timeout, look=found_out)

        return patiently(attempt, self._timeout, waiting)

    def reach(self, waiting: Waiting, *, check: Callable[[Located], None]) -> tuple[Endpoint, Login]:
        """Return host and login for another program to connect with: a shell, a dump.

        Raises:
            RdskitError: the target, the credentials or AWS are at fault.
            DriverError: the topology shows no host.
        """
        check(waiting.run(self._destination.located))
        for host in self._hosts(waiting, 0, look=True):
            return host.endpoint, waiting.run(functools.partial(self._destination.login, host.endpoint))
        raise no_writer_known()

    def _try_hosts(
        self,
        driver: SyncDriver[C],
        waiting: Waiting,
        check: Callable[[Located], None],
        turn: int,
        timeout: float,
        *,
        look: bool,
    ) -> C:
        located = waiting.run(self._destination.located)
        check(located)
        errors: list[DriverError] = []
        for host in self._hosts(waiting, turn, look=look):
            try:
                return self._opened(driver, host, located, timeout, waiting)
            except DriverError as failed:
                errors.append(self._other_protocol(failed, host.endpoint, located, timeout, waiting) or failed)
        # Another host of a list may serve although the first one refuses; if none does, a refusal says most.
        raise min(errors, key=lambda each: each.failure is Failure.LOST, default=no_writer_known())

    def _other_protocol(
        self, error: DriverError, endpoint: Endpoint, located: Located, timeout: float, waiting: Waiting
    ) -> DriverError | None:
        """Return the error for a server of another kind, by its greeting; each host is asked once at most."""
        if endpoint in self._met or isinstance(error.public, AuthenticationError):
            return None
        self._met.add(endpoint)
        found = waiting.run(lambda: engine_at(endpoint, min(DETECTION_TIMEOUT, timeout / 4)))
        return other_protocol(found, located.engine, endpoint)

    def _hosts(self, waiting: Waiting, turn: int, *, look: bool) -> tuple[Host, ...]:
        return hosts_for(self._role, waiting.run(lambda: self._destination.topology(look=look)), turn)

    def _opened(self, driver: SyncDriver[C], host: Host, located: Located, timeout: float, waiting: Waiting) -> C:
        def connect(login: Login) -> C:
            return driver.open(host.endpoint, login, located.database, timeout)

        connection = log_in_here(connect, located.credentials, host.endpoint, self._connect_timeout, waiting)
        self._met.add(host.endpoint)
        if host.role is not Role.WRITER:
            return connection
        try:
            role = driver.role(host.endpoint, connection)
        except BaseException:
            driver.close(connection)
            raise
        if role is not Role.READER:
            return connection
        driver.close(connection)
        raise no_writer_there(host.endpoint)


def patiently(attempt: Callable[[float], C], timeout: float, waiting: Waiting) -> C:
    """Try until the hosts are there.

    Args:
        attempt: opens a connection within the seconds that are left.
        timeout: seconds after which the last error is raised.
        waiting: how the caller waits.

    Raises:
        DriverError: the last error of ``attempt``.
    """
    started, elapsed = time.monotonic(), 0.0
    while True:
        try:
            return attempt(max(0.0, timeout - elapsed))
        except DriverError as error:
            elapsed = time.monotonic() - started
            pause = pause_while_away(error, elapsed, timeout, random.random())  # noqa: S311 - jitter, not a secret
            if pause is None:
                raise
        waiting.pause(pause)
        elapsed = time.monotonic() - started
