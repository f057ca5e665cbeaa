"""Credentials that a service keeps: Secrets Manager or the Parameter Store. Read anew when the server refuses them."""

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
    """Where credentials are kept."""

    async def current(self) -> SecretContent:
        """What is valid now.

        Raises:
            ConfigError: it is not there, or cannot be understood.
            AwsError: the service refused.
            ConnectError: it cannot be reached.
        """
        ...

    async def pending(self) -> SecretContent | None:
        """What a rotation under way is about to make valid, if the service tells; raises as ``current`` does."""
        ...


class SecretStore:
    """One secret of Secrets Manager, by its name or ARN."""

    def __init__(self, identifier: str) -> None:
        self._identifier = identifier

    async def current(self) -> SecretContent:
        """The version AWSCURRENT."""
        return parse_content(await read_secret(self._identifier), f"secret {self._identifier!r}")

    async def pending(self) -> SecretContent | None:
        """The version AWSPENDING."""
        text = await read_pending_secret(self._identifier)
        return None if text is None else parse_content(text, f"secret {self._identifier!r}")


class ParameterStore:
    """One parameter (JSON, or a password), or a path with the parameters ``user`` and ``password`` below it."""

    def __init__(self, path: str) -> None:
        self._path = path.rstrip("/")
        self._name = f"parameter {path!r}"

    async def current(self) -> SecretContent:
        """The latest version."""
        text = await read_parameter(self._path)
        if text is not None:
            return parse_content(text, self._name)
        below = await read_parameters_below(self._path)
        user = below.get("user") or below.get("username")
        return SecretContent(self._name, user, below.get("password"), keys=tuple(sorted(below)))

    async def pending(self) -> None:
        """A parameter has no version ahead of the latest one."""
        return


class StoredCredentials(Credentials):
    """User and password that a service keeps, read when first needed and again when the server refuses them.

    During a rotation the password of the server changes before the new version becomes the current one: a refused login
    is therefore tried with the current version, read again, and then with the pending one.

    Args:
        store: where they are kept.
        user: who logs in if the store does not say.
        owner: keeps the reading, which all who wait for it share.

    Attributes:
        rotates: a refused login is worth another attempt a moment later, even with the same password.
        advice: what to check when the server refuses all the same.
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
        """Give user and password; whoever was refused shares one reading with all others that were."""
        if self._login is None or self._login == refused:
            self._login = await self._reading.run(lambda: self._read(refused))
        return self._login

    async def _read(self, refused: Login | None) -> Login:
        current = (await self._store.current()).login(self._user)
        if current != refused:
            return current
        pending = await self._store.pending()
        return current if pending is None else pending.login(self._user)


async def read_content(identifier: str) -> SecretContent:
    """The content of a secret that says where its server is, too.

    Raises:
        ConfigError: there is no such secret, or it cannot be understood.
    """
    return await SecretStore(identifier).current()
