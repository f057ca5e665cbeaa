"""What an IAM database token says, and whether its signature and its date hold.

A token is the URL of an AWS request that was signed in advance, without its scheme: ``GET HOST:PORT/?Action=connect&…``
for the service ``rds-db``. Source: AWS, "Signature Version 4", query string authentication.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote

from rdskit.local.control.iam.signatures import sign

__all__ = ["Expectation", "RefusedTokenError", "Token", "check_claims", "check_signature", "parse_token"]

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_NO_BODY: Final = hashlib.sha256(b"").hexdigest()
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_LIFETIME: Final = dt.timedelta(minutes=15)
_SKEW: Final = dt.timedelta(minutes=5)
_CREDENTIAL: Final = re.compile(r"(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_REQUIRED: Final = (
    "Action",
    "DBUser",
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)


class RefusedTokenError(Exception):
    """Why a token is refused, in words for whoever sent it; never the token itself."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token, taken apart.

    Attributes:
        host: host and port that it was signed for, in lower case.
        user: the database user.
        action: what it permits.
        key_id: access key that signed it.
        scope: day, region, service and terminator, as the signature covers them.
        region: of the scope.
        service: of the scope.
        signed_at: when it was signed.
        lifetime: how long it was signed for.
        session_token: of temporary keys, or None.
        query: everything that the signature covers, in canonical order.
        signature: hexadecimal.
    """

    host: str
    user: str
    action: str
    key_id: str
    scope: str
    region: str
    service: str
    signed_at: dt.datetime
    lifetime: dt.timedelta
    session_token: str | None = field(repr=False)
    query: str = field(repr=False)
    signature: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a token must say to open one endpoint for one user."""

    host: str
    port: int
    region: str
    user: str


def parse_token(text: str) -> Token:
    """Take a token apart.

    Raises:
        RefusedTokenError: it is none: a password, or damaged.
    """
    host, separator, query = text.partition("/?")
    if not separator or "X-Amz-" not in query:
        raise RefusedTokenError("that is a password, not a token: an IAM user logs in with an authentication token")
    if "://" in host:
        raise RefusedTokenError("the token is malformed: it begins with a scheme; it must begin with the host name")
    values = _values(query)
    if not all(map(str.isprintable, (host, *values, *values.values()))):
        raise RefusedTokenError("the token is malformed: it holds characters that no token has")
    missing = [name for name in _REQUIRED if not values.get(name)]
    if missing:
        raise RefusedTokenError(f"the token is malformed: {missing[0]} is missing")
    if values["X-Amz-Algorithm"] != _ALGORITHM or values["X-Amz-SignedHeaders"] != "host":
        raise RefusedTokenError(f"the token is malformed: it must be signed with {_ALGORITHM} over the host alone")
    return _token(host.lower(), values)


def check_claims(token: Token, expected: Expectation, now: dt.datetime) -> None:
    """Compare what a token says with what is asked of it; its signature is another matter.

    Raises:
        RefusedTokenError: it is for something else, too old, or of the future.
    """
    host = f"{expected.host.lower()}:{expected.port}"
    if token.service != "rds-db" or token.action != "connect":
        raise RefusedTokenError(f"the token is for {token.service}:{token.action}, not for rds-db:connect")
    if token.user != expected.user:
        raise RefusedTokenError(f"the token is for user {token.user!r}, the login is by {expected.user!r}")
    if token.host != host:
        raise RefusedTokenError(
            f"the token is for host {token.host}, this is {host}: sign it for the instance's endpoint"
        )
    if token.region != expected.region:
        raise RefusedTokenError(f"the token is for region {token.region}, the instance is in {expected.region}")
    _check_date(token, now)


def check_signature(token: Token, secret_access_key: str) -> None:
    """Sign the same again and compare, in constant time.

    Raises:
        RefusedTokenError: another secret key signed it, or it was changed afterwards.
    """
    canonical = f"GET\n/\n{token.query}\nhost:{token.host}\n\nhost\n{_NO_BODY}"
    expected = sign(secret_access_key, f"{token.signed_at:{_STAMP}}", token.scope, canonical)
    if not hmac.compare_digest(expected.encode(), token.signature.encode()):
        raise RefusedTokenError(f"the signature does not match: key {token.key_id} has another secret access key")


def _check_date(token: Token, now: dt.datetime) -> None:
    age = now - token.signed_at
    if age < -_SKEW:
        ahead = round(-age.total_seconds())
        raise RefusedTokenError(f"the token is not yet valid: it was signed {ahead} s ahead; check the client's clock")
    lifetime = min(token.lifetime, _LIFETIME)
    if age > lifetime:
        over = round((age - lifetime).total_seconds())
        raise RefusedTokenError(f"the token expired {over} s ago: it serves for {round(lifetime.total_seconds())} s")


def _values(query: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        name = unquote(name)
        if name in values:
            raise RefusedTokenError("the token is malformed: it names a parameter twice")
        values[name] = unquote(value)
    return values


def _token(host: str, values: dict[str, str]) -> Token:
    credential = _CREDENTIAL.fullmatch(values["X-Amz-Credential"])
    if credential is None:
        raise RefusedTokenError("the token is malformed: X-Amz-Credential is not KEY/DAY/REGION/SERVICE/aws4_request")
    signed_at = _date(values["X-Amz-Date"])
    if f"{signed_at:%Y%m%d}" != credential["day"] or not values["X-Amz-Expires"].isdecimal():
        raise RefusedTokenError("the token is malformed: its dates do not agree")
    covered = sorted((_encoded(name), _encoded(values[name])) for name in values if name != "X-Amz-Signature")
    return Token(
        host=host,
        user=values["DBUser"],
        action=values["Action"],
        key_id=credential["key"],
        scope=credential[0].partition("/")[2],
        region=credential["region"],
        service=credential["service"],
        signed_at=signed_at,
        lifetime=dt.timedelta(seconds=min(int(values["X-Amz-Expires"]), 7 * 86400)),
        session_token=values.get("X-Amz-Security-Token"),
        query="&".join(f"{name}={value}" for name, value in covered),
        signature=values["X-Amz-Signature"],
    )


def _date(stamp: str) -> dt.datetime:
    try:
        return dt.datetime.strptime(stamp, _STAMP).replace(tzinfo=dt.UTC)
    except ValueError:
        raise RefusedTokenError("the token is malformed: X-Amz-Date is not a date") from None


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")
