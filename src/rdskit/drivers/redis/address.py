"""Parse the URL of a Redis or Valkey server."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit

from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_text

_SCHEMES = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}
_EXAMPLE = "redis://cache.example.com:6379"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """The address of a server and how to log in.

    Attributes:
        host: its name or IP address.
        port: its port.
        tls: the connection is encrypted, and the server's certificate is verified.
        user: the user of the ACL; None for the default user.
        password: its password; None for no login.
        database: the number of the database.
    """

    host: str
    port: int = 6379
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0

    @classmethod
    def parse(cls, url: str) -> RedisAddress:
        """Read ``redis://[user[:password]@]host[:port][/number]``; ``rediss`` and ``valkeys`` mean TLS.

        Raises:
            ConfigError: the text is no such URL. The message does not repeat it, as it may hold a password.
        """
        parts = urlsplit(require_text("redis", url, example=_EXAMPLE))
        if parts.scheme not in _SCHEMES:
            raise ConfigError(f"the cache's URL begins with {parts.scheme!r}: give redis://, rediss:// or valkey://")
        try:
            port = parts.port or 6379
            database = int(parts.path.strip("/") or 0)
        except ValueError:
            raise ConfigError(f"the cache's URL has a bad port or database number: write it as {_EXAMPLE}/0") from None
        if not parts.hostname or parts.query or parts.fragment:
            raise ConfigError(f"the cache's URL needs a host, and takes no options: write it as {_EXAMPLE}")
        user, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
        return cls(parts.hostname, port, _SCHEMES[parts.scheme], user or None, password, database)

    def moved(self, host: str, port: int) -> RedisAddress:
        """Return the address of another node of the same cluster."""
        return replace(self, host=host or self.host, port=port)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
