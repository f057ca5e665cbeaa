"""Parse IAM database tokens, and verify their claims, dates and signatures.

A token is the URL of a presigned AWS request without its scheme: ``GET HOST:PORT/?Action=connect&…`` for the service
``rds-db``. Source: AWS, "Authenticating requests: using query parameters (AWS Signature Version 4)".
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
# A presigned GET has no body, so its payload hash is that of the empty text.
_NO_BODY: Final = hashlib.sha256(b"").hexdigest()
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_LIFETIME: Final = dt.timedelta(minutes=15)  # of a token (RDS User Guide, "IAM database authentication")
_SKEW: Final = dt.timedelta(minutes=5)  # by which a client's clock may be ahead
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
    """The reason why a token is refused, for the client; it never contains the token."""


@dataclass(frozen=True, slots=True)
class Token:
    """The parts of a token, not yet verified.

    Attributes:
        host: host and port that the token was signed for, in lower case.
        user: the database user.
        action: the action, ``connect``.
        key_id: access key id of the signer.
        scope: day, region, service and terminator, as the signature covers them.
        region: region of the scope.
        service: service of the scope.
        signed_at: time of signing.
        lifetime: validity that the signer chose.
        session_token: session token of temporary keys, or None.
        query: the canonical query that the signature covers.
        signature: the signature in hexadecimal.
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
    """The claims that a token needs for one endpoint and one user."""

    host: str
    port: int
    region: str
    user: str


def parse_token(text: str) -> Token:
    """Parse the text of a token.

    Raises:
        RefusedTokenError: the text is a password, or a damaged token.
    """
    # A password must not appear in an error or a log: the messages quote nothing before this check.
    host, separator, query = text.partition("/?")
    if not separator or "X-Amz-" not in query:
        raise RefusedTokenError("that is a password, not a token: an IAM user logs in with an authentication token")
    if "://" in host:
        raise RefusedTokenError("the token is malformed: it begins with a scheme; it must begin with the host name")
    values = _values(query)
    # The messages below quote parts of the token: control characters could forge lines of the log.
    if not all(map(str.isprintable, (host, *values, *values.values()))):
        raise RefusedTokenError("the token is malformed: it holds characters that no token has")
    missing = [name for name in _REQUIRED if not values.get(name)]
    if missing:
        raise RefusedTokenError(f"the token is malformed: {missing[0]} is missing")
    if values["X-Amz-Algorithm"] != _ALGORITHM or values["X-Amz-SignedHeaders"] != "host":
        raise RefusedTokenError(f"the token is malformed: it must be signed with {_ALGORITHM} over the host alone")
    return _token(host.lower(), values)


def check_claims(token: Token, expected: Expectation, now: dt.datetime) -> None:
    """Compare a token's claims with the expected ones; the signature is not verified.

    Raises:
        RefusedTokenError: the token is for something else, too old, or from the future.
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
    """Sign the same request again, and compare in constant time.

    Raises:
        RefusedTokenError: another secret key signed the token, or it was changed.
    """
    # The canonical request: method, path, query, the header host, an empty line, the signed headers, the payload hash.
    canonical = f"GET\n/\n{token.query}\nhost:{token.host}\n\nhost\n{_NO_BODY}"
    expected = sign(secret_access_key, f"{token.signed_at:{_STAMP}}", token.scope, canonical)
    if not hmac.compare_digest(expected.encode(), token.signature.encode()):
        raise RefusedTokenError(f"the signature does not match: key {token.key_id} has another secret access key")


def _check_date(token: Token, now: dt.datetime) -> None:
    # The signer may ask for a shorter lifetime than 15 minutes, never for a longer one.
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
    # A parameter that appears twice is refused: the check and the signature might read different ones.
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
    # Signers sort the encoded parameters. Their order in the token does not matter.
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
