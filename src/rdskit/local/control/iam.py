"""The judge of IAM database tokens: whether one opens an endpoint for a user, by the local IAM's keys and policies."""

from __future__ import annotations

import datetime as dt
import hmac
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from rdskit.local.control.iam_policy import Decision, Policies, decide
from rdskit.local.control.iam_token import (
    Expectation,
    RefusedTokenError,
    Token,
    check_claims,
    check_signature,
    parse_token,
)
from rdskit.local.control.services import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from moto.iam.models import IAMBackend
    from moto.sts.models import AssumedRole

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.control.monitor import Monitor

__all__ = ["Door", "TokenJudge"]

_log = logging.getLogger(__name__)
_PARTITION = "aws"


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whose access key signed a token.

    Attributes:
        arn: of the user, or of the session of a role.
        account: that it belongs to.
        secret_access_key: of the key.
        active: whether the key may be used.
        session_token: that must come with a temporary key; None for a user's own.
        expires: when a temporary key ends.
        policies: that count for the holder.
        context: what conditions and policy variables can ask of the holder, by keys in lower case.
    """

    arn: str
    account: str
    secret_access_key: str = field(repr=False)
    active: bool
    session_token: str | None = field(repr=False)
    expires: dt.datetime | None
    policies: Policies
    context: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Door:
    """An endpoint as a token names it.

    Attributes:
        resource_id: by which policies name its database: the instance's, or that of its cluster.
        address: that the token was made for.
        region: of the database.
        account: that the database belongs to.
    """

    resource_id: str
    address: Endpoint
    region: str
    account: str


@dataclass(frozen=True, slots=True)
class _Case:
    """What the control plane knows that a token is judged by."""

    expected: Expectation
    resource: str
    account: str
    holder: KeyHolder | None


class TokenJudge:
    """Judges tokens. Called in any thread; holds the monitor only while it looks things up.

    Args:
        monitor: the control plane's.
        find: gives the door of an endpoint's name, inside the monitor.
        now: the time, with a zone.
    """

    def __init__(
        self,
        monitor: Monitor,
        find: Callable[[str], Door | None],
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._monitor = monitor
        self._find = find
        self._now = now

    def __call__(self, endpoint: str, user: str, text: str) -> str:
        """Why a login is refused; empty if it is not.

        Args:
            endpoint: where somebody knocks; an instance's has the name of its resource id.
            user: who logs in.
            text: what was given as the password.
        """
        try:
            self._judge(endpoint, user, text)
        except RefusedTokenError as refusal:
            _log.info("%s: login of %r was refused: %s", endpoint, user, refusal)
            return str(refusal)
        return ""

    def _judge(self, endpoint: str, user: str, text: str) -> None:
        token, now = parse_token(text), self._now()
        case = self._case(endpoint, user, token.key_id)
        check_claims(token, case.expected, now)
        holder = case.holder
        if holder is None:
            raise RefusedTokenError(f"access key {token.key_id} is not known")
        _check_key(holder, token, case.account, now)
        check_signature(token, holder.secret_access_key)
        context = {**holder.context, "aws:currenttime": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
        decision = decide(holder.policies, "rds-db:connect", case.resource, context)
        if decision is not Decision.ALLOWED:
            raise RefusedTokenError(f"rds-db:connect on {case.resource} is {decision.value} of {holder.arn}")

    def _case(self, endpoint: str, user: str, key_id: str) -> _Case:
        with self._monitor:
            door = self._find(endpoint)
            if door is None:
                raise RefusedTokenError(f"{endpoint} is not known yet; try again")
            resource = f"arn:{_PARTITION}:rds-db:{door.region}:{door.account}:dbuser:{door.resource_id}/{user}"
            expected = Expectation(door.address.host, door.address.port, door.region, user)
            return _Case(expected, resource, door.account, _holder_of(key_id))


def _check_key(holder: KeyHolder, token: Token, account: str, now: dt.datetime) -> None:
    if not holder.active:
        raise RefusedTokenError(f"access key {token.key_id} is inactive")
    if not hmac.compare_digest((holder.session_token or "").encode(), (token.session_token or "").encode()):
        raise RefusedTokenError(f"access key {token.key_id} comes with another session token, or with none")
    if holder.expires is not None and now >= holder.expires:
        raise RefusedTokenError(f"the temporary keys of {holder.arn} expired at {holder.expires:%Y-%m-%dT%H:%M:%SZ}")
    if holder.account != account:
        raise RefusedTokenError(f"{holder.arn} belongs to another account than the instance ({account})")


def _holder_of(key_id: str) -> KeyHolder | None:
    """Look a key up among users and sessions of roles, in every account. Inside the monitor."""
    for account in {ACCOUNT, *iam_backends}:
        if user_holder := _user_holder(iam_backends[account][_PARTITION], key_id, account):
            return user_holder
    for account in {ACCOUNT, *sts_backends}:
        for session in sts_backends[account][_PARTITION].assumed_roles:
            if session.access_key_id == key_id:
                return _session_holder(session)
    return None


def _user_holder(iam: IAMBackend, key_id: str, account: str) -> KeyHolder | None:
    for user in iam.users.values():
        for key in user.access_keys:
            if key.access_key_id == key_id:
                groups = [group for group in iam.groups.values() if user in group.users]
                return KeyHolder(
                    arn=user.arn,
                    account=account,
                    secret_access_key=key.secret_access_key,
                    active=key.status == "Active",
                    session_token=None,
                    expires=None,
                    policies=Policies(_documents((user, *groups))),
                    context=_context(user.arn, account, {"aws:username": user.name, "aws:userid": user.id}),
                )
    return None


def _session_holder(session: AssumedRole) -> KeyHolder:
    account = session.role_arn.split(":")[4]
    iam = iam_backends[account][_PARTITION]
    role = next((each for each in iam.roles.values() if each.arn == session.role_arn), None)
    limits: list[tuple[str, ...]] = [(session.policy,)] if session.policy else []
    if role is not None and role.permissions_boundary_arn:
        boundary = iam.managed_policies.get(role.permissions_boundary_arn)
        limits.append((_document(boundary),) if boundary else ())
    return KeyHolder(
        arn=session.arn,
        account=account,
        secret_access_key=session.secret_access_key,
        active=True,
        session_token=session.session_token,
        expires=session.expiration.replace(tzinfo=dt.UTC),
        policies=Policies(_documents((role,) if role else ()), tuple(limits)),
        context=_context(session.role_arn, account, {"aws:userid": session.user_id}),
    )


def _documents(holders: Iterable[Any]) -> tuple[str, ...]:
    """The inline and the attached policies of users, groups or roles."""
    found: list[str] = []
    for holder in holders:
        found.extend(holder.policies.values())
        found.extend(_document(policy) for policy in holder.managed_policies.values())
    return tuple(found)


def _document(policy: Any) -> str:
    return next(str(version.document) for version in policy.versions if version.is_default)


def _context(arn: str, account: str, own: Mapping[str, str]) -> dict[str, str]:
    return {"aws:principalarn": arn, "aws:principalaccount": account, **own}
