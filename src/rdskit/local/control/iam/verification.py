"""The judge of IAM database tokens: whether one opens an endpoint for a user, by the local IAM's keys and policies."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdskit.local.control.iam.policy import Decision, decide
from rdskit.local.control.iam.principals import PARTITION, KeyHolder, holder_of
from rdskit.local.control.iam.token import (
    Expectation,
    RefusedTokenError,
    Token,
    check_claims,
    check_signature,
    parse_token,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.control.monitor import Monitor

__all__ = ["IamEndpoint", "TokenVerifier"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IamEndpoint:
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


class TokenVerifier:
    """Judges tokens. Called in any thread; holds the monitor only while it looks things up.

    Args:
        monitor: the control plane's.
        find: gives the door of an endpoint's name, inside the monitor.
        now: the time, with a zone.
    """

    def __init__(
        self,
        monitor: Monitor,
        find: Callable[[str], IamEndpoint | None],
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
            resource = f"arn:{PARTITION}:rds-db:{door.region}:{door.account}:dbuser:{door.resource_id}/{user}"
            expected = Expectation(door.address.host, door.address.port, door.region, user)
            return _Case(expected, resource, door.account, holder_of(key_id))


def _check_key(holder: KeyHolder, token: Token, account: str, now: dt.datetime) -> None:
    if not holder.active:
        raise RefusedTokenError(f"access key {token.key_id} is inactive")
    if not holder.has_token(token.session_token):
        raise RefusedTokenError(f"access key {token.key_id} comes with another session token, or with none")
    if holder.expires is not None and holder.expired(now):
        raise RefusedTokenError(f"the temporary keys of {holder.arn} expired at {holder.expires:%Y-%m-%dT%H:%M:%SZ}")
    if holder.account != account:
        raise RefusedTokenError(f"{holder.arn} belongs to another account than the instance ({account})")
