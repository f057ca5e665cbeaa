"""Allocate addresses of servers and endpoints on the loopback network.

On Linux all of 127.0.0.0/8 is local, so each server and each endpoint gets its own address and the port that was asked
for. Other systems have only 127.0.0.1, where each gets a free port instead.
"""

from __future__ import annotations

import hashlib
import socket
import sys
import threading
from typing import TYPE_CHECKING

from rdskit.errors import LocalError
from rdskit.kernel.endpoints import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

# 127.64.0.0 to 127.127.255.255, in networks of 254 addresses. 127.0.0.x and 127.0.1.1 (Debian's host name) stay free.
_FIRST_OCTET, _OCTETS, _HOSTS = 64, 64, range(1, 255)
_NETWORKS_TRIED = 4


class AddressBook:
    """Book of the loopback addresses in use, from networks that belong to one data directory.

    Args:
        root: the data directory. Its hash chooses the network, so two directories rarely share one.
        taken: addresses of recorded servers.
    """

    def __init__(self, root: Path, taken: Iterable[Endpoint] = ()) -> None:
        self._root = root.absolute()
        self._taken = set(taken)
        self._lock = threading.Lock()

    def allocate(self, port: int | None = None) -> Endpoint:
        """Return an address on which no process listens, and mark it as taken.

        Args:
            port: the wanted TCP port; None takes a free one. Honored on Linux only.

        Raises:
            LocalError: the port is taken on every address.
        """
        # Held during the test bind, so that two threads do not get one address.
        with self._lock:
            for host in self._hosts():
                address = self._claim(host, port)
                if address is not None:
                    self._taken.add(address)
                    return address
        raise LocalError(
            f"port {port} is taken on every loopback address: a server that listens on 0.0.0.0:{port} does this; "
            f"stop it, or ask for another port"
        )

    def take(self, address: Endpoint) -> None:
        """Mark an address as taken, because a recorded endpoint has it."""
        with self._lock:
            self._taken.add(address)

    def release(self, address: Endpoint) -> None:
        """Release an address for another server."""
        with self._lock:
            self._taken.discard(address)

    def _claim(self, host: str, port: int | None) -> Endpoint | None:
        hosts = {address.host for address in self._taken}
        # One address for each server or endpoint: then each of them can have the engine's usual port.
        if _own_addresses() and host in hosts:
            return None
        free = free_port(host, port if _own_addresses() else None)
        return None if free is None else Endpoint(host, free)

    def _hosts(self) -> Iterator[str]:
        if not _own_addresses():
            yield "127.0.0.1"
            return
        for attempt in range(_NETWORKS_TRIED):
            # The same directory gets the same network at each start, so recorded addresses stay free for it.
            digest = hashlib.blake2b(f"{self._root}#{attempt}".encode(), digest_size=2).digest()
            for last in _HOSTS:
                yield f"127.{_FIRST_OCTET + digest[0] % _OCTETS}.{digest[1]}.{last}"


def free_port(host: str, port: int | None = None) -> int | None:
    """Return a TCP port of ``host`` that can be bound now: ``port`` itself, or any; None if it is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        # As servers do: without it, connections in TIME_WAIT make the port of a server that just ended look taken.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port or 0))
            # With SO_REUSEADDR Linux lets two sockets bind one port while neither listens. The second listen() fails.
            listener.listen(1)
        except OSError:
            return None
        return int(listener.getsockname()[1])


def _own_addresses() -> bool:
    return sys.platform == "linux"
