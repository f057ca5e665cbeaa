"""Where a server listens."""

from __future__ import annotations

from typing import NamedTuple


class Endpoint(NamedTuple):
    """A host name or address and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
