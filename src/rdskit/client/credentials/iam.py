"""Log in by IAM, with a short-lived token that is signed on this machine instead of a password."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from rdskit.aws.keys import AwsKeys, assume_role, configured_region, resolve_keys
from rdskit.aws.token import sign_token
from rdskit.client.credentials.policy import is_worth_minting, region_of_host, role_keys_serve, token_serves
from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_function, require_text, require_whole
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.ports import Credentials, Login
from rdskit.kernel.typing import override
from rdskit.runtime.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rdskit.runtime.tasks import TaskOwner


@dataclass(frozen=True, slots=True)
class Iam:
    """How to log in by IAM, for ``rdskit.connect(…, credentials=Iam(…))``; ``credentials="iam"`` is ``Iam()``.

    Attributes:
        user: the database user; by default the target's, else the environment's.
        region: of the instance; by default the one in its host name, else the configured one.
        host: the host name that RDS gave, if the target is an alias (CNAME); the server refuses a token for an alias.
        port: the port that belongs to ``host``; by default the target's.
        role_arn: a role to assume (STS AssumeRole) with the keys of this process.
        session_name: session name of the assumed role, as CloudTrail shows it.
        external_id: external id, if the role's trust policy requires one.
        keys: an async callable that returns ``AwsKeys`` from another source: SAML, Okta, a vault. It is called when the
            former keys are about to expire, and when a token made with them is refused.
    """

    user: str | None = None
    region: str | None = None
    host: str | None = None
    port: int | None = None
    role_arn: str | None = None
    session_name: str = "rdskit"
    external_id: str | None = None
    keys: Callable[[], Awaitable[AwsKeys]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("user", "region", "host", "role_arn", "external_id"):
            require_text(name, getattr(self, name), or_none=True)
        require_text("session_name", self.session_name)
        if self.port is not None:
            require_whole("port", self.port, least=1)
        if self.keys is not None:
            require_function("keys", self.keys)
        if self.keys is not None and self.role_arn is not None:
            raise ConfigError("Iam(keys=…, role_arn=…): give one of them; keys= can assume the role itself")


@dataclass(frozen=True, slots=True)
class _Token:
    login: Login
    minted: dt.datetime
    keys_expire: dt.datetime | None


class KeySource:
    """Provides the keys to sign with: of the process, a role, or a callable; renews temporary ones in time."""

    def __init__(self, how: Iam, owner: TaskOwner, now: Callable[[], dt.datetime]) -> None:
        self._how = how
        self._now = now
        self._keys: AwsKeys | None = None
        self._renewing: SingleFlight[AwsKeys] = SingleFlight(owner, "renew AWS keys")

    async def keys(self, region: str, *, fresh: bool) -> AwsKeys:
        """Return keys that are valid for some minutes at least.

        Args:
            region: region of the STS endpoint, for a role.
            fresh: do not use cached keys.
        """
        if self._how.role_arn is None and self._how.keys is None:
            # botocore caches and renews the keys of the process itself.
            return await resolve_keys(refresh=fresh)
        if fresh or self._keys is None or not role_keys_serve(self._keys.expires, self._now()):
            # After a failover many connections open at once: one call to STS serves them all.
            self._keys = await self._renewing.run(lambda: self._renewed(region, fresh=fresh))
        return self._keys

    async def _renewed(self, region: str, *, fresh: bool) -> AwsKeys:
        if self._how.keys is not None:
            return await self._how.keys()
        assert self._how.role_arn is not None
        if fresh:
            # STS is called with this process's own keys: if they were the refused ones, renew them first.
            await resolve_keys(refresh=True)
        name, external = self._how.session_name, self._how.external_id
        return await assume_role(self._how.role_arn, session_name=name, external_id=external, region=region)


class IamCredentials(Credentials):
    """A token for each endpoint, used for 14.5 of its 15 minutes.

    A refused token is replaced once, by one that is signed with newly resolved keys. If that is refused too, the login
    fails.

    Args:
        how: user, region, keys.
        user: login name to use if ``how`` has none.
        owner: owns the signing of a token, which concurrent callers share.
        now: returns the current time, with a time zone.

    Attributes:
        advice: what to check after a refusal, because RDS does not tell its reason.
    """

    advice: ClassVar[str] = (
        "it was an IAM token: check that IAM authentication is enabled for the instance, that the user may use it "
        "(GRANT rds_iam, or AWSAuthenticationPlugin), that a policy allows rds-db:connect on dbuser:RESOURCE-ID/USER, "
        "the region, the real host name behind an alias (Iam(host=…)), and this machine's clock"
    )

    def __init__(
        self, how: Iam, user: str | None, owner: TaskOwner, *, now: Callable[[], dt.datetime] | None = None
    ) -> None:
        self._how = how
        self._user = how.user or user
        self._owner = owner
        self._now = now or (lambda: dt.datetime.now(dt.UTC))
        self._source = KeySource(how, owner, self._now)
        self._tokens: dict[Endpoint, _Token] = {}
        self._minting: dict[Endpoint, SingleFlight[_Token]] = {}

    @override
    async def login(self, endpoint: Endpoint, *, refused: Login | None = None) -> Login:
        """Return the user and a valid token.

        Raises:
            ConfigError: the user or the region is unknown, or there are no AWS credentials.
            AwsError: AWS refused to let this process assume the role.
            ConnectError: STS cannot be reached.
        """
        # One token per endpoint: the signature covers host and port.
        token = self._tokens.get(endpoint)
        if token is None or self._is_spent(token, refused):
            # One flight for each endpoint: callers of another host need another signature and do not wait.
            flight = self._minting.setdefault(endpoint, SingleFlight(self._owner, f"mint token for {endpoint}"))
            token = await flight.run(lambda: self._mint(endpoint, fresh=refused is not None))
        return token.login

    def _is_spent(self, token: _Token, refused: Login | None) -> bool:
        # A refusal of an older token does not concern a newer one, which another caller may have created since.
        now = self._now()
        if not token_serves(token.minted, token.keys_expire, now):
            return True
        return token.login == refused and is_worth_minting(token.minted, now)

    async def _mint(self, endpoint: Endpoint, *, fresh: bool) -> _Token:
        # The server verifies the signature over its own name, so an alias in the URL would be refused.
        named = Endpoint(self._how.host or endpoint.host, self._how.port or endpoint.port)
        user, region = self._named_user(), await self._region(named)
        keys = await self._source.keys(region, fresh=fresh)
        # After the keys, which may have come over the network: the signature is valid from this moment.
        minted = self._now()
        token = _Token(Login(user, sign_token(keys, named, user, region, minted)), minted, keys.expires)
        self._tokens[endpoint] = token
        return token

    def _named_user(self) -> str:
        if not self._user:
            raise ConfigError("credentials='iam' needs a user: name it in the target, as in rds://USER@IDENTIFIER")
        return self._user

    async def _region(self, endpoint: Endpoint) -> str:
        region = self._how.region or region_of_host(endpoint.host) or await configured_region()
        if region is None:
            raise ConfigError(
                f"the region of {endpoint.host!r} is unknown: the name contains none, and neither AWS_REGION, "
                "AWS_DEFAULT_REGION nor the profile names one; set one of them, or pass Iam(region=…)"
            )
        return region
