"""Configure TCP keepalive, which detects a dead peer even where no deadline applies.

Linux's defaults find an idle connection dead after two hours, and one with unacknowledged data after about 15 minutes.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket
    from collections.abc import Iterable

__all__ = ["keep_alive", "keep_alive_unwatched"]

# The connection fails after 10 + 3 · 5 s of silence (tcp(7)). Systems name these options differently and lack some.
_PROBES: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPALIVE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
_UNACKNOWLEDGED: Final = 30_000  # milliseconds


def keep_alive(tcp: socket.socket | TransportSocket) -> None:
    """Make the operating system detect within 25 s that a silent host is gone.

    This covers idle connections only, not unacknowledged data. The callers watch for hosts that receive data and never
    respond. TCP_USER_TIMEOUT would also end connections to healthy hosts, see ``keep_alive_unwatched``.

    Args:
        tcp: a connected socket; one that is not TCP stays unchanged.
    """
    _set(tcp, _PROBES)


def keep_alive_unwatched(descriptor: int) -> None:
    """Configure a connection that no watchdog checks: it also fails if data stays unacknowledged for 30 s.

    That is TCP_USER_TIMEOUT. It also fails for a live host that reads nothing for so long, as a server may in the
    middle of a large COPY while it waits for a lock.

    Args:
        descriptor: a connected socket's; the caller keeps it.
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
