"""Credentials from AWS Secrets Manager, read anew when the server refuses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.aws.secrets import read_secret
from rdskit.errors import ConfigError
from rdskit.kernel.ports import Login
from rdskit.runtime.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rdskit.runtime.tasks import TaskOwner


class SecretCredentials:
    """User and password of a secret in the JSON shape that RDS writes."""

    def __init__(self, identifier: str, owner: TaskOwner) -> None:
        self._identifier = identifier
        self._login: Login | None = None
        self._reading: SingleFlight[Login] = SingleFlight(owner, "read secret")

    async def login(self, *, refresh: bool = False) -> Login:
        """Give user and password; ``refresh`` reads the secret again, once however many ask."""
        if self._login is None or refresh:
            self._login = await self._reading.run(self._read)
        return self._login

    async def _read(self) -> Login:
        return login_of(await read_secret(self._identifier), self._identifier)


def login_of(secret: Mapping[str, Any], identifier: str) -> Login:
    """Take user and password out of a secret.

    Raises:
        ConfigError: one of them is missing. The message names the keys that are there, never a value.
    """
    user, password = secret.get("username"), secret.get("password")
    if not isinstance(user, str) or not isinstance(password, str):
        keys = ", ".join(sorted(secret)) or "none"
        raise ConfigError(f"secret {identifier!r} has no 'username' and 'password'; its keys are: {keys}")
    return Login(user, password)
