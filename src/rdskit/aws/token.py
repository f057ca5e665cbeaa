"""Sign IAM database tokens locally: an AWS request signed in advance, which the server verifies as if it were sent.

Source: AWS, "Signature Version 4" (query string authentication) and "Connecting using IAM authentication"
(``rds-db``, ``Action=connect``, 900 seconds).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from rdskit.aws.keys import AwsKeys
    from rdskit.kernel.endpoints import Endpoint

LIFETIME = 900
"""Seconds after signing in which a server accepts a token."""

_ALGORITHM = "AWS4-HMAC-SHA256"
_NO_BODY = hashlib.sha256(b"").hexdigest()


def sign_token(keys: AwsKeys, endpoint: Endpoint, user: str, region: str, now: dt.datetime) -> str:
    """Return a token that logs in to one host as one user.

    Args:
        keys: the keys that sign it.
        endpoint: host and port of the RDS endpoint; the signature of an alias is not valid.
        user: the database user.
        region: the instance's region.
        now: the current time, with a time zone; fractions of a second are dropped.
    """
    stamp = f"{now.astimezone(dt.UTC):%Y%m%dT%H%M%SZ}"
    scope = f"{stamp[:8]}/{region}/rds-db/aws4_request"
    host = f"{endpoint.host.lower()}:{endpoint.port}"
    query = _query(keys, user, stamp, scope)
    request = f"GET\n/\n{query}\nhost:{host}\n\nhost\n{_NO_BODY}"
    text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{keys.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"{host}/?{query}&X-Amz-Signature={signature}"


def _query(keys: AwsKeys, user: str, stamp: str, scope: str) -> str:
    values = {
        "Action": "connect",
        "DBUser": user,
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{keys.access_key_id}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(LIFETIME),
        "X-Amz-SignedHeaders": "host",
    }
    if keys.session_token:
        values["X-Amz-Security-Token"] = keys.session_token
    return "&".join(f"{name}={quote(values[name], safe='-_.~')}" for name in sorted(values))
