"""Credentials that are at hand: in the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.kernel.ports import Credentials, Login
from rdskit.kernel.typing import override

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint


class StaticCredentials(Credentials):
    """User and password as they were given."""

    def __init__(self, user: str, password: str | None) -> None:
        self._login = Login(user, password)

    @override
    async def login(self, endpoint: Endpoint, *, refused: Login | None = None) -> Login:
        """Give what was given."""
        return self._login
