"""The port of a Redis or Valkey server, for caches and message buses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from rdskit.errors import RdskitError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Command = tuple[bytes | str | int, ...]
"""The words of one command, such as ``("get", key)``."""


class KeyValueError(RdskitError):
    """The server did not answer a command, or refused it. It stays inside rdskit: caches answer from the database."""


class KeyValueUnreachable(KeyValueError):  # noqa: N818 - the name says what happened
    """There is no connection, or no answer came in time. The command may have been done."""


class KeyValueRefused(KeyValueError):  # noqa: N818 - the name says what happened
    """The server answered with an error, such as OOM or READONLY."""


class KeyValueStore(Protocol):
    """A connection to one server that all tasks of an event loop share, and that replaces itself when it is lost.

    Commands are sent in the order of the calls, and the server runs them in that order.
    """

    @property
    def server(self) -> bytes | None:
        """The id of the running server process, which a restart and a failover change; None without a connection."""
        ...

    @property
    def sent(self) -> int:
        """How many requests were sent so far: of two requests, the one with the lower number runs first."""
        ...

    def request(self, command: Command) -> Awaitable[Any]:
        """Send one command and return its reply.

        Raises:
            KeyValueUnreachable: there is no connection, or no reply within the timeout of reads.
            KeyValueRefused: the server answered with an error.
        """
        ...

    def pipeline(self, commands: Sequence[Command]) -> Awaitable[list[Any]]:
        """Send commands together and return their replies; a reply that is an error is a `KeyValueRefused` among them.

        Raises:
            KeyValueUnreachable: as for ``request``.
        """
        ...

    async def connected(self, timeout: float) -> bool:
        """Wait for a connection and return whether there is one.

        Args:
            timeout: seconds to wait at most.
        """
        ...

    def on_outage(self, function: Callable[[str], None]) -> None:
        """Have a function called with the reason when the connection is lost, or the server is silent."""
        ...

    def on_connect(self, function: Callable[[], None]) -> None:
        """Have a function called after each connection is set up."""
        ...

    async def close(self) -> None:
        """Close the connection and open no other."""
        ...
