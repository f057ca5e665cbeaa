"""Find the holder of an access key: a user of the local IAM, or a session of a role."""

from __future__ import annotations

import datetime as dt
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from rdskit.local.control.iam.policy import Policies
from rdskit.local.control.services import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from moto.iam.models import IAMBackend
    from moto.sts.models import AssumedRole

__all__ = ["PARTITION", "KeyHolder", "holder_of"]

PARTITION = "aws"


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """The holder of an access key. A copy, so that signatures can be verified outside the monitor.

    Attributes:
        arn: ARN of the user, or of the role's session.
        account: account of the holder.
        secret_access_key: secret of the key.
        active: whether the key may be used.
        session_token: the token that must accompany a temporary key; None for a user's own key.
        expires: when a temporary key expires.
        policies: policies of the holder.
        context: values for conditions and policy variables, by keys in lower case.
    """

    arn: str
    account: str
    secret_access_key: str = field(repr=False)
    active: bool
    session_token: str | None = field(repr=False)
    expires: dt.datetime | None
    policies: Policies
    context: Mapping[str, str]

    def has_token(self, token: str | None) -> bool:
        """Return whether a request's session token belongs to the key; compare in constant time."""
        return hmac.compare_digest((self.session_token or "").encode(), (token or "").encode())

    def expired(self, now: dt.datetime) -> bool:
        """Return whether a temporary key has expired."""
        return self.expires is not None and now >= self.expires


def holder_of(key_id: str) -> KeyHolder | None:
    """Return the user or the role's session that holds a key, in any account, or None. Call inside the monitor."""
    # A backend exists, and has its saved state, only after its first use: name our account, do not only iterate.
    for account in {ACCOUNT, *iam_backends}:
        if user_holder := _user_holder(iam_backends[account][PARTITION], key_id, account):
            return user_holder
    for account in {ACCOUNT, *sts_backends}:
        for session in sts_backends[account][PARTITION].assumed_roles:
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
    iam = iam_backends[account][PARTITION]
    # If the role was deleted, its sessions keep their keys, but no policy allows them anything.
    role = next((each for each in iam.roles.values() if each.arn == session.role_arn), None)
    limits: list[tuple[str, ...]] = [(session.policy,)] if session.policy else []
    if role is not None and role.permissions_boundary_arn:
        boundary = iam.managed_policies.get(role.permissions_boundary_arn)
        # A boundary that was deleted allows nothing: an empty set, not a missing one.
        limits.append((_document(boundary),) if boundary else ())
    return KeyHolder(
        arn=session.arn,
        account=account,
        secret_access_key=session.secret_access_key,
        active=True,
        session_token=session.session_token,
        expires=session.expiration.replace(tzinfo=dt.UTC),  # moto keeps naive dates in UTC
        policies=Policies(_documents((role,) if role else ()), tuple(limits)),
        context=_context(session.role_arn, account, {"aws:userid": session.user_id}),
    )


def _documents(holders: Iterable[Any]) -> tuple[str, ...]:
    """Return the inline and the attached policies of users, groups or roles."""
    found: list[str] = []
    for holder in holders:
        found.extend(holder.policies.values())
        found.extend(_document(policy) for policy in holder.managed_policies.values())
    return tuple(found)


def _document(policy: Any) -> str:
    return next(str(version.document) for version in policy.versions if version.is_default)


def _context(arn: str, account: str, own: Mapping[str, str]) -> dict[str, str]:
    return {"aws:principalarn": arn, "aws:principalaccount": account, **own}
