"""Host names for tests: what the system's resolver would say, name by name, and changed while it is in use."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


class Names:
    """Leads names to servers of this machine, in the place of DNS.

    Attributes:
        lookups: names in the order in which they were asked for.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._addresses: dict[str, tuple[str, int]] = {}
        self._system = socket.getaddrinfo
        self.lookups: list[str] = []
        patch.setattr(socket, "getaddrinfo", self._look_up)

    def lead(self, name: str, host: str, port: int) -> None:
        """Have a name lead to an address, and any port there to one port."""
        self._addresses[name] = (host, port)

    def _look_up(self, host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host in self._addresses:
            self.lookups.append(host)
            host, port = self._addresses[host]
        return self._system(host, port, *args, **options)
