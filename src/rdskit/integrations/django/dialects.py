"""The interface between the Django backends and their drivers."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.integrations.django.settings import DatabaseSettings
    from rdskit.kernel import sql
    from rdskit.kernel.connect_errors import Problem
    from rdskit.kernel.targets import Engine
    from rdskit.kernel.topology import Role


class Dialect(Protocol):
    """One driver, as a backend uses it."""

    engines: ClassVar[frozenset[Engine]]
    sql: ClassVar[sql.Dialect]
    errors: ClassVar[tuple[type[Exception], ...]]

    def arguments(self, settings: DatabaseSettings) -> dict[str, Any]:
        """Return the driver's arguments for TLS and timeouts."""
        ...

    def open(
        self, opening: Callable[[dict[str, Any]], Any], arguments: dict[str, Any], settings: DatabaseSettings
    ) -> Any:
        """Let Django open a connection, with a time limit for the login if the driver has none."""
        ...

    def run_first_query(self, connection: Any) -> None:
        """Send a query and await the response."""
        ...

    def problem(self, error: Exception) -> Problem:
        """Return the problem that an error of ``connect`` describes."""
        ...

    def spoils(self, connection: Any, error: BaseException) -> bool:
        """Return whether an error of a statement means that the connection no longer leads to a writer."""
        ...

    def as_lost(self, error: BaseException) -> BaseException:
        """Return the error to raise: an ``OperationalError`` where the driver reports a lost connection otherwise."""
        ...

    def role(self, connection: Any) -> Role | None:
        """Return the role that the host reports; None if it does not report one."""
        ...

    def descriptor(self, connection: Any) -> int:
        """Return the file descriptor of an open connection's socket."""
        ...

    def is_gone(self, connection: Any) -> bool:
        """Return whether an idle connection has ended; this queries the server only if it has sent something."""
        ...


def is_readable(descriptor: int) -> bool:
    """Return whether the server has sent something unasked.

    On an idle connection that is nearly always the end of the connection.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
