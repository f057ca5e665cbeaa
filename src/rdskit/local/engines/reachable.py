"""Describe how to reach a throwaway server. Shared by all engines."""

from __future__ import annotations

from rdskit.local.engines.server import DatabaseServer


class Reachable(DatabaseServer):
    """Running server, with its address and its superuser's login."""

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
