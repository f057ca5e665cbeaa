"""Log in as the master user with the secret that RDS manages, if the target names no user."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

from rdskit.client.credentials.stored import SecretStore, StoredCredentials
from rdskit.errors import AwsError, ConfigError, ConnectError
from rdskit.kernel.ports import Credentials
from rdskit.kernel.typing import override

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Login
    from rdskit.runtime.tasks import TaskOwner

_log = logging.getLogger("rdskit.credentials")


class MasterUserCredentials(Credentials):
    """The master user's login from the secret that RDS manages, if this client may read it.

    Args:
        resource: the instance or cluster, for messages.
        secret: ARN of the secret.
        otherwise: the credentials to use if the secret cannot be read.
        owner: owns the request for the secret, which concurrent callers share.

    Attributes:
        rotates: RDS rotates the secret, every seven days by default.
    """

    rotates: ClassVar[bool] = True

    def __init__(self, resource: str, secret: str, otherwise: Credentials, owner: TaskOwner) -> None:
        self._resource = resource
        self._secret = secret
        self._stored = StoredCredentials(SecretStore(secret), None, owner)
        self._otherwise = otherwise
        self._in_use: Credentials | None = None

    @override
    async def login(self, endpoint: Endpoint, *, refused: Login | None = None) -> Login:
        """Return user and password.

        Raises:
            ConfigError: the secret cannot be read, and nothing else names a user.
        """
        if self._in_use is not None:
            return await self._in_use.login(endpoint, refused=refused)
        try:
            login = await self._stored.login(endpoint, refused=refused)
        except (AwsError, ConfigError, ConnectError) as error:
            return await self._login_otherwise(endpoint, refused, error)
        _log.warning(
            "no user is given for %s: using its master user %r with the secret that RDS manages (%s); name a user in "
            "the target or pass credentials= for another one",
            self._resource,
            login.user,
            self._secret,
        )
        # From now on a refused login concerns this secret, and is not retried with the other credentials.
        self._in_use = self._stored
        return login

    async def _login_otherwise(self, endpoint: Endpoint, refused: Login | None, error: Exception) -> Login:
        try:
            return await self._otherwise.login(endpoint, refused=refused)
        except ConfigError as unnamed:
            raise ConfigError(
                f"{unnamed}; the secret of the master user of {self._resource} cannot be read: {error}"
            ) from error
