"""Credentials that are at hand: in the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.kernel.ports import Login

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint


class StaticCredentials:
    """User and password as they were given."""

    def __init__(self, user: str, password: str | None) -> None:
        self._login = Login(user, password)

    async def login(self, endpoint: Endpoint, *, refused: Login | None = None) -> Login:  # noqa: ARG002 - the port's
        """Give what was given."""
        return self._login
