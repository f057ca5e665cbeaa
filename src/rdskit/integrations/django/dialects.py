"""What a backend has to know of its driver."""

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
    """One driver."""

    engines: ClassVar[frozenset[Engine]]
    sql: ClassVar[sql.Dialect]
    errors: ClassVar[tuple[type[Exception], ...]]

    def arguments(self, settings: DatabaseSettings) -> dict[str, Any]:
        """TLS and timeouts, in the driver's words."""
        ...

    def open(
        self, opening: Callable[[dict[str, Any]], Any], arguments: dict[str, Any], settings: DatabaseSettings
    ) -> Any:
        """Have Django open a connection, within a limit for the login where the driver has none of its own."""
        ...

    def await_first_answer(self, connection: Any) -> None:
        """Ask the server something and take the answer."""
        ...

    def problem(self, error: Exception) -> Problem:
        """Return what an error of ``connect`` means."""
        ...

    def spoils(self, connection: Any, error: BaseException) -> bool:
        """Return whether an error of a statement means that the connection leads to no writer any more."""
        ...

    def as_lost(self, error: BaseException) -> BaseException:
        """The error to raise: an ``OperationalError`` where the driver says otherwise that the connection is gone."""
        ...

    def role(self, connection: Any) -> Role | None:
        """What the host says it is; None where it does not tell."""
        ...

    def descriptor(self, connection: Any) -> int:
        """The file descriptor of an open connection's socket."""
        ...

    def is_gone(self, connection: Any) -> bool:
        """Return whether an idle connection has ended; the server is asked only if it has said something."""
        ...


def is_readable(descriptor: int) -> bool:
    """Return whether a server has said something unasked: goodbye, most of the time."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
