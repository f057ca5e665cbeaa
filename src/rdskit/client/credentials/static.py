"""Credentials that are at hand: in the target, or in the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rdskit.errors import ConfigError
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


class EnvironmentCredentials:
    """User and password from ``PGUSER`` and ``PGPASSWORD``, read at each login so that a change is seen."""

    def __init__(self, user: str | None = None) -> None:
        self._user = user

    async def login(self, endpoint: Endpoint, *, refused: Login | None = None) -> Login:  # noqa: ARG002 - the port's
        """Read the environment.

        Raises:
            ConfigError: no user is named anywhere.
        """
        user = self._user or os.environ.get("PGUSER")
        if not user:
            raise ConfigError("no user is given: name one in the target, set PGUSER, or pass credentials=")
        return Login(user, os.environ.get("PGPASSWORD"))
