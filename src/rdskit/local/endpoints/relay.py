"""Relay between a client's connection and its backend connection, and close both together."""

from __future__ import annotations

import socket
import ssl
import struct
from typing import TYPE_CHECKING, Final

from rdskit.local.endpoints.forwarding import Answers, Forwarding

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from rdskit.local.endpoints.forwarding import Inspect
    from rdskit.local.endpoints.link_faults import LinkFaults

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER on with 0 seconds: close() sends a reset (socket(7))


class Relay:
    """A relay between a client's connection and its backend connection.

    Args:
        loop: the loop that serves it.
        client: non-blocking, negotiated.
        backend: non-blocking, connected.
        closed: called once, when both are closed.
        faults: the injected network faults, applied to the backend's answers.
        inspect: reads and may change the client's bytes.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: socket.socket,
        backend: socket.socket,
        closed: Callable[[Relay], None],
        faults: LinkFaults,
        inspect: Inspect | None = None,
    ) -> None:
        self._sockets = (client, backend)
        self._closed = closed
        self._directions = (
            Forwarding(loop, client, backend, self._on_end, inspect),
            Answers(loop, backend, client, self._on_end, faults),
        )

    def start(self) -> None:
        """Relay in both directions from now on."""
        # The first direction may find a dead peer and close both sockets: do not start the second one then.
        for direction in self._directions:
            if self._sockets[0].fileno() >= 0:
                direction.start()

    def pause(self) -> None:
        """Relay nothing until :meth:`resume`; both connections stay open."""
        for direction in self._directions:
            direction.stop()

    def resume(self) -> None:
        """Relay what has arrived in the meantime, and continue."""
        for direction in self._directions:
            if self._sockets[0].fileno() >= 0:
                direction.resume()

    def cut(self) -> None:
        """End both connections with a TCP reset."""
        self._close(reset=True)

    def _on_end(self, failed: bool) -> None:  # noqa: FBT001 - a callback's one argument
        self._close(reset=failed)

    def _close(self, *, reset: bool) -> None:
        # Both directions may report the end of the same session: only the first report counts.
        if self._sockets[0].fileno() < 0:
            return
        # Callbacks are removed before the close: the kernel reuses descriptor numbers, so a late removal would hit the
        # next connection.
        for direction in self._directions:
            direction.stop()
        for each in self._sockets:
            (abort if reset else close)(each)
        self._closed(self)


def close(connection: socket.socket) -> None:
    """Close without a reset; a TLS peer gets a close_notify, which distinguishes the end from a cut (RFC 8446, 6.1)."""
    if isinstance(connection, ssl.SSLSocket):
        try:
            connection.unwrap()
        except (OSError, ValueError):
            # The peer has closed already, or its own close_notify has not arrived yet: do not wait for it.
            connection.close()
            return
    connection.close()


def abort(connection: socket.socket) -> None:
    """Close with a TCP reset: the peer gets an error at once, and unsent bytes are dropped."""
    if connection.fileno() < 0:
        return  # wrap_socket() closes the socket when it fails
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    finally:
        connection.close()
