"""Where a server listens."""

from __future__ import annotations

from typing import NamedTuple


class Endpoint(NamedTuple):
    """A host name or address and a TCP port."""

    host: str
    port: int

    @property
    def is_rds_proxy(self) -> bool:
        """Whether this is an RDS Proxy by its name: ``NAME.proxy-ID.REGION.rds.amazonaws.com``, or one of its own."""
        return ".proxy-" in self.host and ".rds.amazonaws.com" in self.host

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
