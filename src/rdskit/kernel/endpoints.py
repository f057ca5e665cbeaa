"""Endpoints: host and port of a server, a Unix socket, or an ARN."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit

from rdskit.errors import ConfigError

_ARN_COLONS = 5  # arn:partition:service:region:account:resource


class Endpoint(NamedTuple):
    """A host and TCP port, a Unix socket on this machine, or the ARN of a resource behind an API.

    Attributes:
        host: the host's name or address. For a Unix socket its path, which begins with ``/``: on PostgreSQL the
            directory, as in libpq, where the port is a part of the socket's name. For a resource its ARN.
        port: the TCP port; 0 for the socket of MySQL or MariaDB, and for a resource.
    """

    host: str
    port: int

    @classmethod
    def of_resource(cls, arn: str) -> Endpoint:
        """Return the endpoint of a resource behind an API, such as a cluster behind the Data API.

        Args:
            arn: ``arn:aws:rds:eu-west-1:123456789012:cluster:orders``.

        Raises:
            ConfigError: it is not an ARN.
        """
        if not arn.startswith("arn:") or arn.count(":") < _ARN_COLONS:
            raise ConfigError(f"{arn!r} is not an ARN: write arn:aws:rds:REGION:ACCOUNT:cluster:NAME")
        return cls(arn, 0)

    @property
    def is_resource(self) -> bool:
        """Whether this is a resource instead of a host with a port."""
        return self.host.startswith("arn:")

    @property
    def is_unix_socket(self) -> bool:
        """Whether this is a Unix socket, whose traffic never leaves the machine."""
        return self.host.startswith("/")

    @property
    def is_loopback(self) -> bool:
        """Whether this is this machine, by its name or address; no other name is resolved."""
        if self.host.rpartition(".")[2] == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_rds_proxy(self) -> bool:
        """Whether the name is an RDS Proxy's: ``NAME.proxy-ID.REGION.rds.amazonaws.com``, or an endpoint of one."""
        return ".proxy-" in self.host and ".rds.amazonaws.com" in self.host

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str, port: int) -> Endpoint:
    """Parse ``host``, ``host:port`` or ``[address]:port``.

    Args:
        text: the endpoint.
        port: the port if the text has none.

    Raises:
        ConfigError: it is not an endpoint.
    """
    shown = text.rpartition("@")[2]  # the part before @ may contain a password
    refusal = f"{shown!r} is not a host: write host, host:port or [address]:port"
    try:
        parts = urlsplit(f"//{text}")
        given = parts.port
    except ValueError:
        raise ConfigError(refusal) from None  # the original message quotes the whole text
    if not parts.hostname or parts.netloc != text or "@" in text:
        raise ConfigError(refusal)
    return Endpoint(parts.hostname, port if given is None else given)
