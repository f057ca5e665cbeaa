"""Provide the credentials that the target itself names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.kernel.ports import Credentials, Login
from rdskit.kernel.typing import override

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint


class StaticCredentials(Credentials):
    """A fixed user and password."""

    def __init__(self, user: str, password: str | None) -> None:
        self._login = Login(user, password)

    @override
    async def login(self, endpoint: Endpoint, *, refused: Login | None = None) -> Login:
        """Return the same login each time."""
        return self._login
