"""Inject network faults between clients and an endpoint: latency and black holes."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from rdskit.local.endpoints.model import Link

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint

#: Linux queues backlog + 1 connections: with a backlog of 0 the first filler takes the only place. The second is a
#: spare.
_FILLERS: Final = 2


class LinkFaults:
    """The current network faults of one endpoint, applied to each message.

    Attributes:
        link: the faults in force.
    """

    def __init__(self) -> None:
        self.link = Link()
        self._open = asyncio.Event()
        self._open.set()

    def become(self, link: Link) -> None:
        """Change the faults; messages that a black hole held go on when it ends."""
        self.link = link
        if link.blackhole:
            self._open.clear()
        else:
            self._open.set()

    async def enter(self) -> None:
        """Wait until a client's message may come in: never during a black hole."""
        await self._open.wait()

    async def leave(self) -> None:
        """Wait until an answer may go out: after the latency, and never during a black hole."""
        # Latency first: a black hole that begins during the delay must still hold the answer.
        if self.link.latency:
            await asyncio.sleep(self.link.latency)
        await self._open.wait()


class FullQueue:
    """A full accept queue: the kernel drops each further SYN, as a black hole does.

    A closed or refusing socket would answer with a reset. On Linux a listening socket with a backlog of 0 queues one
    connection that is not accepted, and drops the SYNs of others (listen(2)).

    Args:
        listener: the listening socket; the caller restores its backlog after :meth:`close`.
        address: the address of the listener.
    """

    def __init__(self, listener: socket.socket, address: Endpoint) -> None:
        listener.listen(0)
        self._fillers = [_begin_connecting(address) for _ in range(_FILLERS)]

    def close(self) -> None:
        """Close the connections that fill the queue."""
        for each in self._fillers:
            each.close()


def _begin_connecting(address: Endpoint) -> socket.socket:
    """Start a connection attempt and return its socket without waiting."""
    filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    filler.setblocking(False)
    filler.connect_ex((address.host, address.port))
    return filler
