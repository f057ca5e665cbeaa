"""The network between clients and an endpoint, as far as it is out of order on purpose."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from rdskit.local.endpoints.model import Link

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint

_FILLERS: Final = 2


class LinkFaults:
    """What each message between a client and an endpoint passes.

    Attributes:
        link: its present state.
    """

    def __init__(self) -> None:
        self.link = Link()
        self._open = asyncio.Event()
        self._open.set()

    def become(self, link: Link) -> None:
        """Be in another state from now on; whoever waits in an open passage goes on."""
        self.link = link
        if link.blackhole:
            self._open.clear()
        else:
            self._open.set()

    async def enter(self) -> None:
        """Let a client's message in: not while there is a black hole."""
        await self._open.wait()

    async def leave(self) -> None:
        """Let an answer out: late, and not while there is a black hole."""
        if self.link.latency:
            await asyncio.sleep(self.link.latency)
        await self._open.wait()


class FullQueue:
    """Keeps a listening socket's queue full, so that the system drops each further SYN, as a black hole does.

    A socket with a backlog of 0 holds one connection that nobody has accepted (listen(2), Linux).

    Args:
        listener: whose backlog is changed; the caller gives it another one when this is closed.
        address: where it listens.
    """

    def __init__(self, listener: socket.socket, address: Endpoint) -> None:
        listener.listen(0)
        self._fillers = [_knock(address) for _ in range(_FILLERS)]

    def close(self) -> None:
        """Leave the queue."""
        for each in self._fillers:
            each.close()


def _knock(address: Endpoint) -> socket.socket:
    """A connection that is asked for and not waited for."""
    filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    filler.setblocking(False)
    filler.connect_ex((address.host, address.port))
    return filler
