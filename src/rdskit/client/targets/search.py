"""Search for a host and a login that work, for connections that a synchronous driver opens."""

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
    """Opens the connections of a synchronous driver, which the application gets as they are."""

    def open(self, endpoint: Endpoint, login: Login, database: str | None, timeout: float, /) -> C:
        """Connect to one host.

        Args:
            endpoint: the host.
            login: user and password.
            database: the target's database, or None.
            timeout: seconds for the attempt. A framework that configures its driver itself may ignore it.

        Raises:
            DriverError: the attempt failed, as `kernel.connect_errors` describes.
        """
        ...

    def role(self, endpoint: Endpoint, connection: C, /) -> Role | None:
        """Return the role that the host reports; None if it reports none.

        Raises:
            DriverError: the connection was lost during the query.
        """
        ...

    def close(self, connection: C, /) -> None:
        """Close a connection that the application does not get."""
        ...


class Search:
    """Finds a host for each new connection. Threads share one object, so that readers get equal shares.

    Args:
        destination: the target.
        role: the required role; without readers, the writer serves in their place.
        timeout: seconds for which unreachable hosts are retried.
        connect_timeout: seconds for one attempt, and for retries of refused logins.
    """

    def __init__(self, destination: Destination, role: Role, timeout: float, connect_timeout: float) -> None:
        self._destination = destination
        self._role = role
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._turns = itertools.count()
        self._identified: set[Endpoint] = set()  # hosts that accepted a connection, or whose greeting was read

    def connect(
        self,
        driver: SyncDriver[C],
        waiting: Waiting,
        *,
        check: Callable[[Located], None],
        moved: bool = False,
    ) -> C:
        """Open a connection, and retry while the hosts are unreachable, for ``timeout`` seconds.

        Args:
            driver: opens the connection.
            waiting: how the caller waits.
            check: raises ``ConfigError`` for a target that the driver does not support.
            moved: refresh the topology even if it is known, because the last connection was lost.

        Raises:
            RdskitError: the target, the credentials or a request to AWS failed.
            DriverError: no host accepted a connection.
        """
        turn, look = next(self._turns), moved

        def attempt(left: float) -> C:
            nonlocal look
            found_out, look = look, True  # if this attempt fails, the next one refreshes the topology
            timeout = min(self._connect_timeout, left)
            return self._try_hosts(driver, waiting, check, turn, timeout, look=found_out)

        return retry_while_away(attempt, self._timeout, waiting)

    def reach(self, waiting: Waiting, *, check: Callable[[Located], None]) -> tuple[Endpoint, Login]:
        """Return host and login for another program, such as a shell or a dump.

        Raises:
            RdskitError: the target, the credentials or a request to AWS failed.
            DriverError: the topology has no suitable host.
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
                return self._connect(driver, host, located, timeout, waiting)
            except DriverError as failed:
                errors.append(self._wrong_protocol(failed, host.endpoint, located, timeout, waiting) or failed)
        # Another host of a list may accept the connection although the first refuses. If none does, raise a refusal
        # rather than an unreachable host's error: a refusal is final, and says what to change.
        raise min(errors, key=lambda each: each.failure is Failure.LOST, default=no_writer_known())

    def _wrong_protocol(
        self, error: DriverError, endpoint: Endpoint, located: Located, timeout: float, waiting: Waiting
    ) -> DriverError | None:
        """Return the error for a server of another engine, found by its greeting; check each host once at most."""
        # A server that refuses a login speaks the right protocol.
        if endpoint in self._identified or isinstance(error.public, AuthenticationError):
            return None
        self._identified.add(endpoint)
        found = waiting.run(lambda: engine_at(endpoint, min(DETECTION_TIMEOUT, timeout / 4)))
        return other_protocol(found, located.engine, endpoint)

    def _hosts(self, waiting: Waiting, turn: int, *, look: bool) -> tuple[Host, ...]:
        return hosts_for(self._role, waiting.run(lambda: self._destination.topology(look=look)), turn)

    def _connect(self, driver: SyncDriver[C], host: Host, located: Located, timeout: float, waiting: Waiting) -> C:
        def connect(login: Login) -> C:
            return driver.open(host.endpoint, login, located.database, timeout)

        connection = log_in_here(connect, located.credentials, host.endpoint, self._connect_timeout, waiting)
        self._identified.add(host.endpoint)
        # A stale topology may name the former writer, which still accepts logins: ask a writer for its role.
        if host.role is not Role.WRITER:
            return connection
        try:
            role = driver.role(host.endpoint, connection)
        except BaseException:
            driver.close(connection)
            raise
        # None is accepted: some servers do not reveal their role.
        if role is not Role.READER:
            return connection
        driver.close(connection)
        raise no_writer_there(host.endpoint)


def retry_while_away(attempt: Callable[[float], C], timeout: float, waiting: Waiting) -> C:
    """Retry while the hosts are unreachable.

    Args:
        attempt: opens a connection within the given seconds.
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
