"""Read credentials from Secrets Manager or the Parameter Store, and again when the server refuses them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from rdskit.aws.parameters import read_parameter, read_parameters_below
from rdskit.aws.secrets import read_pending_secret, read_secret
from rdskit.client.credentials.content import SecretContent, parse_content
from rdskit.kernel.ports import Credentials
from rdskit.kernel.typing import override
from rdskit.runtime.single_flight import SingleFlight

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Login
    from rdskit.runtime.tasks import TaskOwner


class Store(Protocol):
    """A service that stores credentials."""

    async def current(self) -> SecretContent:
        """Return the current version.

        Raises:
            ConfigError: it does not exist, or cannot be parsed.
            AwsError: the service refused.
            ConnectError: the service cannot be reached.
        """
        ...

    async def pending(self) -> SecretContent | None:
        """Return the version that a running rotation is about to make current, if any; raises as ``current`` does."""
        ...


class SecretStore:
    """One secret of Secrets Manager, by its name or ARN."""

    def __init__(self, identifier: str) -> None:
        self._identifier = identifier

    async def current(self) -> SecretContent:
        """Return the version labeled AWSCURRENT."""
        return parse_content(await read_secret(self._identifier), f"secret {self._identifier!r}")

    async def pending(self) -> SecretContent | None:
        """Return the version labeled AWSPENDING."""
        text = await read_pending_secret(self._identifier)
        return None if text is None else parse_content(text, f"secret {self._identifier!r}")


class ParameterStore:
    """One parameter (JSON, or a password), or a path with the parameters ``user`` and ``password`` below it."""

    def __init__(self, path: str) -> None:
        self._path = path.rstrip("/")
        self._name = f"parameter {path!r}"

    async def current(self) -> SecretContent:
        """Return the latest version."""
        text = await read_parameter(self._path)
        if text is not None:
            return parse_content(text, self._name)
        below = await read_parameters_below(self._path)
        user = below.get("user") or below.get("username")
        return SecretContent(self._name, user, below.get("password"), keys=tuple(sorted(below)))

    async def pending(self) -> None:
        """Return None: a parameter has no pending version."""
        return


class StoredCredentials(Credentials):
    """User and password from a service, read when first needed and again when the server refuses them.

    A rotation changes the server's password before the new version becomes current. So after a refusal, the current
    version is read again and tried, and then the pending one.

    Args:
        store: the service.
        user: login name to use if the store has none.
        owner: owns the request to the service, which concurrent callers share.

    Attributes:
        rotates: a refused login is worth a retry a moment later, even with the same password.
        advice: what was done before the login failed.
    """

    rotates: ClassVar[bool] = True
    advice: ClassVar[str] = "what the store holds was read again, and its pending version, if any, was tried too"

    def __init__(self, store: Store, user: str | None, owner: TaskOwner) -> None:
        self._store = store
        self._user = user
        self._login: Login | None = None
        self._reading: SingleFlight[Login] = SingleFlight(owner, "read credentials")

    @override
    async def login(self, endpoint: Endpoint, *, refused: Login | None = None) -> Login:
        """Return user and password; concurrent callers that were refused share one request."""
        # Another caller may have replaced the refused login already: then its result is used without a request.
        if self._login is None or self._login == refused:
            self._login = await self._reading.run(lambda: self._read(refused))
        return self._login

    async def _read(self, refused: Login | None) -> Login:
        current = (await self._store.current()).login(self._user)
        if current != refused:
            return current
        # The current version was refused: either a rotation has set the pending password, or none fits.
        pending = await self._store.pending()
        return current if pending is None else pending.login(self._user)


async def read_content(identifier: str) -> SecretContent:
    """Return the content of a secret, which may also describe its server.

    Raises:
        ConfigError: there is no such secret, or it cannot be parsed.
    """
    return await SecretStore(identifier).current()
