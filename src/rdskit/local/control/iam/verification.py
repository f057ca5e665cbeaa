"""Verify IAM database tokens against the keys and policies of the local IAM."""

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
    """An endpoint that a token can be for.

    Attributes:
        resource_id: the resource id that policies name: that of the instance, or of its cluster.
        address: address that clients connect to.
        region: region of the database.
        account: account of the database.
    """

    resource_id: str
    address: Endpoint
    region: str
    account: str


@dataclass(frozen=True, slots=True)
class _Facts:
    """The facts of the control plane that a token is verified against."""

    expected: Expectation
    resource: str
    account: str
    holder: KeyHolder | None


class TokenVerifier:
    """Verifies tokens, in any thread. Holds the monitor only to look up facts.

    Args:
        monitor: the control plane's monitor.
        find: returns the endpoint of a name; called inside the monitor.
        now: returns the time, with a zone.
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
        """Return why a login is refused; empty if it is accepted.

        Args:
            endpoint: name of the endpoint; that of an instance is its resource id.
            user: the database user that logs in.
            text: the password that the client sent.
        """
        try:
            self._verify(endpoint, user, text)
        except RefusedTokenError as refusal:
            _log.info("%s: login of %r was refused: %s", endpoint, user, refusal)
            return str(refusal)
        return ""

    def _verify(self, endpoint: str, user: str, text: str) -> None:
        # Cheap checks come first. Policies come last: only a holder of the key learns what they say.
        token, now = parse_token(text), self._now()
        facts = self._look_up(endpoint, user, token.key_id)
        check_claims(token, facts.expected, now)
        holder = facts.holder
        if holder is None:
            raise RefusedTokenError(f"access key {token.key_id} is not known")
        _check_key(holder, token, facts.account, now)
        check_signature(token, holder.secret_access_key)
        context = {**holder.context, "aws:currenttime": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
        decision = decide(holder.policies, "rds-db:connect", facts.resource, context)
        if decision is not Decision.ALLOWED:
            raise RefusedTokenError(f"rds-db:connect on {facts.resource} is {decision.value} of {holder.arn}")

    def _look_up(self, endpoint: str, user: str, key_id: str) -> _Facts:
        # Everything is copied out of the monitor, so that signature and policies are checked without the lock.
        with self._monitor:
            found = self._find(endpoint)
            if found is None:
                raise RefusedTokenError(f"{endpoint} is not known yet; try again")
            resource = f"arn:{PARTITION}:rds-db:{found.region}:{found.account}:dbuser:{found.resource_id}/{user}"
            expected = Expectation(found.address.host, found.address.port, found.region, user)
            return _Facts(expected, resource, found.account, holder_of(key_id))


def _check_key(holder: KeyHolder, token: Token, account: str, now: dt.datetime) -> None:
    if not holder.active:
        raise RefusedTokenError(f"access key {token.key_id} is inactive")
    if not holder.has_token(token.session_token):
        raise RefusedTokenError(f"access key {token.key_id} comes with another session token, or with none")
    if holder.expires is not None and holder.expired(now):
        raise RefusedTokenError(f"the temporary keys of {holder.arn} expired at {holder.expires:%Y-%m-%dT%H:%M:%SZ}")
    if holder.account != account:
        raise RefusedTokenError(f"{holder.arn} belongs to another account than the instance ({account})")
