"""A client's connection and the backend connection behind it, as one."""

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

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Relay:
    """A client's connection and the backend connection behind it.

    Args:
        client: non-blocking, negotiated.
        backend: non-blocking, connected.
        closed: called once, when both are closed.
        passage: what the backend's answers pass on their way to the client.
        inspect: sees and may change what the client sends.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: socket.socket,
        backend: socket.socket,
        closed: Callable[[Relay], None],
        passage: LinkFaults,
        inspect: Inspect | None = None,
    ) -> None:
        self._sockets = (client, backend)
        self._closed = closed
        self._directions = (
            Forwarding(loop, client, backend, self._on_end, inspect),
            Answers(loop, backend, client, self._on_end, passage),
        )

    def start(self) -> None:
        """Begin to relay."""
        for direction in self._directions:
            if self._sockets[0].fileno() >= 0:
                direction.start()

    def pause(self) -> None:
        """Move nothing until :meth:`resume`; neither side is told."""
        for direction in self._directions:
            direction.stop()

    def resume(self) -> None:
        """Move what has come meanwhile, and go on."""
        for direction in self._directions:
            if self._sockets[0].fileno() >= 0:
                direction.resume()

    def cut(self) -> None:
        """End both connections with a TCP reset."""
        self._close(reset=True)

    def _on_end(self, failed: bool) -> None:  # noqa: FBT001 - a callback's one argument
        self._close(reset=failed)

    def _close(self, *, reset: bool) -> None:
        if self._sockets[0].fileno() < 0:
            return
        for direction in self._directions:
            direction.stop()
        for each in self._sockets:
            (abort if reset else close)(each)
        self._closed(self)


def close(connection: socket.socket) -> None:
    """Close in order: a TLS peer is told, so that it can tell the end from a cut."""
    if isinstance(connection, ssl.SSLSocket):
        try:
            connection.unwrap()
        except (OSError, ValueError):  # it has gone already, or its own goodbye is not there yet: nothing to wait for
            connection.close()
            return
    connection.close()


def abort(connection: socket.socket) -> None:
    """Close with a TCP reset: the peer knows at once, and nothing more is sent."""
    if connection.fileno() < 0:
        return  # a handshake that could not begin has closed it
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    finally:
        connection.close()
