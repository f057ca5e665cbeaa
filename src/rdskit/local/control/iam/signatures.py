"""Verify signatures of AWS Signature Version 4, in headers and in query strings.

Source: AWS, "Create a signed AWS API request" and "Authenticating requests: using query parameters". Services other
    than
S3 encode the path twice, and a body is always part of the signature.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import hmac
import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Claim", "Problem", "SignatureError", "check", "claim_of", "sign"]

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_SKEW: Final = dt.timedelta(minutes=15)  # difference between the clocks of client and server
_LONGEST_VALIDITY: Final = 7 * 86400  # seconds; AWS's limit for X-Amz-Expires
_CREDENTIAL: Final = re.compile(
    r"(?P<key>\w{4,128})/(?P<day>\d{8})/(?P<region>[a-z0-9-]{1,32})/(?P<service>[a-z0-9-]{1,32})/aws4_request", re.ASCII
)
_STAMP_SHAPE: Final = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}")
_FIELD: Final = re.compile(r"\s*(Credential|SignedHeaders|Signature)=([^,\s]*)\s*")


class Problem(enum.Enum):
    """The reason why a request is refused."""

    MISSING = "missing"
    INCOMPLETE = "incomplete"
    UNKNOWN_KEY = "unknown key"
    MISMATCH = "mismatch"
    TIME = "time"
    EXPIRED = "expired"
    DENIED = "denied"


class SignatureError(Exception):
    """A request that is refused for its signature or its caller's permissions.

    Attributes:
        problem: the reason.
    """

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Claim:
    """The signature data of a request, not yet verified.

    Attributes:
        key_id: access key id.
        scope: day, region, service and terminator.
        region: region of the scope.
        service: signing name of the service in the scope.
        signed_at: time of signing.
        lifetime: validity of a presigned request; None for one that is signed in its headers.
        session_token: session token of temporary keys, or None.
        signed_headers: names in lower case, in the order of the request.
        signature: the signature in hexadecimal.
    """

    key_id: str
    scope: str
    region: str
    service: str
    signed_at: dt.datetime
    lifetime: dt.timedelta | None
    session_token: str | None = field(repr=False)
    signed_headers: tuple[str, ...]
    signature: str = field(repr=False)


def claim_of(headers: Mapping[str, str], query: str) -> Claim:
    """Return the signature data of a request.

    Args:
        headers: headers by name in lower case.
        query: the query as it was sent.

    Raises:
        SignatureError: the request is not signed, or not completely.
    """
    if "authorization" in headers:
        return _claim_in_header(headers)
    values = dict(_pairs(query))
    if "X-Amz-Algorithm" not in values and "X-Amz-Signature" not in values:
        raise SignatureError(Problem.MISSING, "Request is missing Authentication Token")
    if values.get("X-Amz-Algorithm") != _ALGORITHM:
        raise SignatureError(Problem.INCOMPLETE, f"X-Amz-Algorithm must be {_ALGORITHM}")
    # The pattern first: int() would also accept signs, underscores and digits of other scripts.
    expires = values.get("X-Amz-Expires", "")
    if not re.fullmatch(r"[0-9]{1,6}", expires) or not 0 < int(expires) <= _LONGEST_VALIDITY:
        raise SignatureError(Problem.INCOMPLETE, f"X-Amz-Expires must be 1 to {_LONGEST_VALIDITY} seconds")
    fields = {name: values.get(f"X-Amz-{name}", "") for name in ("Credential", "SignedHeaders", "Signature")}
    token = values.get("X-Amz-Security-Token")
    return _claim(fields, values.get("X-Amz-Date", ""), token, dt.timedelta(seconds=int(expires)))


def check(
    claim: Claim,
    secret_access_key: str,
    *,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    now: dt.datetime,
) -> None:
    """Sign the same request again, compare in constant time, then check the date.

    Args:
        claim: the request's signature data.
        secret_access_key: secret of the key that the request names.
        method: method of the request.
        path: the path as it was sent, percent-encoded.
        query: the query as it was sent.
        headers: headers by name in lower case.
        body: body of the request.
        now: the time, with a zone.

    Raises:
        SignatureError: another secret key signed the request, it was changed, or it is too old or too new.
    """
    # Without host in the signature, a request to another server could be replayed here.
    missing = [name for name in claim.signed_headers if name not in headers]
    if missing or "host" not in claim.signed_headers:
        raise SignatureError(Problem.INCOMPLETE, f"the signed header {(missing or ['host'])[0]} is missing")
    # The hash of the body that arrived, never the hash in a header.
    payload = hashlib.sha256(body).hexdigest()
    if headers.get("x-amz-content-sha256", payload) != payload:
        raise SignatureError(Problem.MISMATCH, "x-amz-content-sha256 is not the hash of the body")
    # The canonical request: one line each for method, path and query, one for each signed header, an empty line, the
    # names of the signed headers, and the hash of the body. Spaces in header values are trimmed, and runs of them are
    # one.
    canonical = "\n".join(
        (
            method,
            _canonical_path(path),
            _canonical_query(query),
            *(f"{name}:{' '.join(headers[name].split())}" for name in claim.signed_headers),
            "",
            ";".join(claim.signed_headers),
            payload,
        )
    )
    expected = sign(secret_access_key, f"{claim.signed_at:{_STAMP}}", claim.scope, canonical)
    if not hmac.compare_digest(expected, claim.signature):
        raise SignatureError(
            Problem.MISMATCH,
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method.",
        )
    # After the signature: only the holder of the secret learns that the time is wrong.
    _check_time(claim, now)


def sign(secret_access_key: str, stamp: str, scope: str, canonical: str) -> str:
    """Return the signature of a canonical request, in hexadecimal.

    Args:
        secret_access_key: the secret that signs.
        stamp: the time in the form of the request, ``20260131T235959Z``.
        scope: day, region, service and ``aws4_request``, with slashes.
        canonical: the canonical request.
    """
    # The signing key: HMACs over day, region, service and "aws4_request", starting from the secret with a prefix.
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}".encode(), "sha256").hex()


def _claim_in_header(headers: Mapping[str, str]) -> Claim:
    algorithm, _, rest = headers["authorization"].partition(" ")
    if algorithm != _ALGORITHM:
        raise SignatureError(Problem.INCOMPLETE, f"the Authorization header must begin with {_ALGORITHM}")
    # SDKs separate the fields by a comma with or without a space.
    matches = [_FIELD.fullmatch(part) for part in rest.split(",")]
    fields = {match[1]: match[2] for match in matches if match}
    if len(fields) != len(matches) or set(fields) != {"Credential", "SignedHeaders", "Signature"}:
        raise SignatureError(
            Problem.INCOMPLETE, "the Authorization header must have Credential, SignedHeaders and Signature, once each"
        )
    return _claim(fields, headers.get("x-amz-date", ""), headers.get("x-amz-security-token"), None)


def _claim(fields: Mapping[str, str], stamp: str, token: str | None, lifetime: dt.timedelta | None) -> Claim:
    credential = _CREDENTIAL.fullmatch(fields["Credential"])
    if credential is None:
        raise SignatureError(Problem.INCOMPLETE, "Credential must be KEY/DAY/REGION/SERVICE/aws4_request")
    if not _SIGNATURE.fullmatch(fields["Signature"]):
        raise SignatureError(Problem.INCOMPLETE, "Signature must be 64 hexadecimal digits")
    # The signing key depends on the day: a signature for another day than that of the time is refused by AWS too.
    signed_at = _time(stamp)
    if stamp[:8] != credential["day"]:
        raise SignatureError(Problem.MISMATCH, "the date in Credential is not that of X-Amz-Date")
    return Claim(
        key_id=credential["key"],
        scope=credential[0].partition("/")[2],
        region=credential["region"],
        service=credential["service"],
        signed_at=signed_at,
        lifetime=lifetime,
        session_token=token,
        signed_headers=tuple(fields["SignedHeaders"].split(";")),
        signature=fields["Signature"],
    )


def _time(stamp: str) -> dt.datetime:
    # strptime() alone accepts shorter fields.
    try:
        return dt.datetime.strptime(stamp if _STAMP_SHAPE.fullmatch(stamp) else "", _STAMP).replace(tzinfo=dt.UTC)
    except ValueError:
        raise SignatureError(Problem.INCOMPLETE, "X-Amz-Date must be a time such as 20260131T235959Z") from None


def _check_time(claim: Claim, now: dt.datetime) -> None:
    # A presigned request has its own lifetime in place of the allowance for clocks.
    latest = claim.signed_at + (_SKEW if claim.lifetime is None else claim.lifetime)
    stamp, present = f"{claim.signed_at:{_STAMP}}", f"{now:{_STAMP}}"
    if now > latest:
        raise SignatureError(
            Problem.TIME,
            f"Signature expired: {stamp} is too long ago, it is {present} here: check the client's clock, "
            "or sign again.",
        )
    if claim.signed_at > now + _SKEW:
        raise SignatureError(
            Problem.TIME, f"Signature not yet current: {stamp} is to come, it is {present} here: check the clock."
        )


def _canonical_path(path: str) -> str:
    # The path arrives percent-encoded once. Quoting it again makes the second encoding, "%" included.
    normal = posixpath.normpath(path)
    # normpath() drops a slash at the end, which is part of the canonical path.
    if path.endswith("/") and not normal.endswith("/"):
        normal += "/"
    return quote(normal.replace("//", "/"), safe="/~")


def _pairs(query: str) -> list[tuple[str, str]]:
    # Not parse_qsl(): it would decode a plus sign as a space.
    parts = (part.partition("=") for part in query.split("&") if part)
    return [(unquote(name), unquote(value)) for name, _, value in parts]


def _canonical_query(query: str) -> str:
    # Sorted after encoding, by code point. The signature cannot cover itself.
    covered = ((_encoded(name), _encoded(value)) for name, value in _pairs(query) if name != "X-Amz-Signature")
    return "&".join(f"{name}={value}" for name, value in sorted(covered))


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")  # RFC 3986, unreserved characters; a space is %20, a slash %2F
