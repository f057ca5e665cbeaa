"""How to reach a server: what the throw-away servers of all engines tell their users."""

from __future__ import annotations

from rdskit.local.engines.server import DatabaseServer


class Reachable(DatabaseServer):
    """A running server and how to reach it; the superuser may do everything."""

    @property
    def host(self) -> str:
        """Its IP address."""
        return self.address.host

    @property
    def port(self) -> int:
        """Its TCP port."""
        return self.address.port

    @property
    def superuser(self) -> str:
        """The user to log in as."""
        return self.account.user

    @property
    def password(self) -> str:
        """The superuser's password."""
        return self.account.password
