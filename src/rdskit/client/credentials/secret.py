"""Credentials from AWS Secrets Manager, read anew when the server refuses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.aws.secrets import read_pending_secret, read_secret
from rdskit.errors import ConfigError
from rdskit.kernel.ports import Login
from rdskit.runtime.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.runtime.tasks import TaskOwner


class SecretCredentials:
    """User and password of a secret in the JSON shape that RDS writes.

    During a rotation the password of the server changes before the secret's new version becomes the current one: a
    refused login is therefore tried with the current version, read again, and then with the pending one.
    """

    def __init__(self, identifier: str, owner: TaskOwner) -> None:
        self._identifier = identifier
        self._login: Login | None = None
        self._reading: SingleFlight[Login] = SingleFlight(owner, "read secret")

    async def login(self, endpoint: Endpoint, *, refused: Login | None = None) -> Login:  # noqa: ARG002 - the port's
        """Give user and password; whoever was refused shares one reading with all others that were."""
        if self._login is None or self._login == refused:
            self._login = await self._reading.run(lambda: self._read(refused))
        return self._login

    async def _read(self, refused: Login | None) -> Login:
        current = login_of(await read_secret(self._identifier), self._identifier)
        if current != refused:
            return current
        pending = await read_pending_secret(self._identifier)
        return current if pending is None else login_of(pending, self._identifier)


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
