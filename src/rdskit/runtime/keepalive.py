"""TCP's own way of finding out that the other side is gone: the floor below every deadline.

Linux's defaults find an idle connection dead after two hours, and one with unacknowledged data after a quarter of one.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket
    from collections.abc import Iterable

__all__ = ["keep_alive", "keep_alive_unwatched"]

# Gone after 10 + 3 · 5 s without a sign of life (tcp(7)). Systems have different names for these, and not all of them.
_PROBES: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPALIVE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
_UNACKNOWLEDGED: Final = 30_000  # milliseconds


def keep_alive(tcp: socket.socket | TransportSocket) -> None:
    """Have the operating system find out within 25 s that a silent host is gone.

    What the host never acknowledged counts for nothing here: whoever calls has another way to find a host that
    swallows data, and TCP_USER_TIMEOUT would end connections to hosts that are well, see below.

    Args:
        tcp: connected; one that is not TCP is left as it is.
    """
    _set(tcp, _PROBES)


def keep_alive_unwatched(descriptor: int) -> None:
    """The same for a connection that nobody else watches: it also ends when data is not acknowledged for 30 s.

    That is TCP_USER_TIMEOUT. It takes a host for dead that is alive and reads nothing for so long, as a server may in
    the middle of a large COPY while a lock keeps it.

    Args:
        descriptor: of a connected socket; it stays the caller's.
    """
    with socket.socket(fileno=os.dup(descriptor)) as tcp:
        _set(tcp, (*_PROBES, ("TCP_USER_TIMEOUT", _UNACKNOWLEDGED)))


def _set(tcp: socket.socket | TransportSocket, options: Iterable[tuple[str, int]]) -> None:
    if tcp.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options:
        if hasattr(socket, name):
            tcp.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
