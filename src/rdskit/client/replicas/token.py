"""Sign a position as a text that one process can pass to another in a cookie, a header or a message.

A position is meaningful within its history only (PostgreSQL's timeline, MariaDB's last writing server), so the token
contains the history too. After a failover, the same number may refer to something else.

A token is the base64url of a MAC (the first 16 bytes of HMAC-SHA-256) and of ``version|cluster|expiry|position``. The
cluster is a digest, so that clients do not see a host name. A position is no secret. The signature prevents clients
from inventing a position that no reader ever reaches, which would send every read to the writer.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Final, NamedTuple

from rdskit.errors import ConfigError
from rdskit.kernel.position_text import position_from_text, position_to_text

if TYPE_CHECKING:
    from rdskit.kernel.positions import Position

LIFETIME: Final = 3600  # seconds for which a token is valid
_VERSION: Final = "1"
# RFC 2104, section 5: a truncated HMAC keeps at least half of its bytes.
_MAC_BYTES: Final = 16
_UNKNOWN: Final = "writer"


class Claim(NamedTuple):
    """The content of a token.

    Attributes:
        cluster: the position's cluster, as returned by ``cluster_digest``.
        position: the position that a read must see; None if only the writer is sure to show it.
        expires: end of its validity, in seconds since 1970.
    """

    cluster: str
    position: Position | None
    expires: int


def cluster_digest(name: str) -> str:
    """Return a short digest of a cluster's name, which does not reveal the name."""
    return hashlib.blake2b(name.encode(), digest_size=8).hexdigest()


def sign(claim: Claim, key: bytes) -> str:
    """Return a claim as a token, which consists of letters, digits, ``-`` and ``_``."""
    shown = _UNKNOWN if claim.position is None else position_to_text(claim.position)
    payload = "|".join((_VERSION, claim.cluster, str(claim.expires), shown)).encode()
    return urlsafe_b64encode(_mac(payload, key) + payload).rstrip(b"=").decode()


def verify(text: str, key: bytes) -> Claim:
    """Check a token's signature, and return its claim.

    Raises:
        ConfigError: it was not signed with this key, or is not a token at all.
    """
    try:
        # `sign` strips the padding, which a URL would have to escape; the decoder needs it (RFC 4648, section 3.2).
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise _invalid_token() from None
    mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    # Parse nothing before this check: the payload comes from a client.
    if not hmac.compare_digest(mac, _mac(payload, key)):
        raise _invalid_token()
    # A known key signed this, so its version may be named in the error.
    version, _, rest = payload.decode().partition("|")
    if version != _VERSION:
        raise ConfigError("the token was issued by another version of rdskit: get a new one with token()")
    cluster, expires, shown = rest.split("|")
    return Claim(cluster, None if shown == _UNKNOWN else position_from_text(shown), int(expires))


def position_to_see(claim: Claim, cluster: str, now: float) -> Position | None:
    """Return the position that a read with this token must see; None sends it to the writer.

    An expired token sends it to the writer, which is always correct. A token of another cluster is an error.

    Args:
        claim: content of the token.
        cluster: digest of this client's cluster.
        now: seconds since 1970.

    Raises:
        ConfigError: the token is about another cluster.
    """
    if claim.cluster != cluster:
        raise ConfigError(
            "the token is about another cluster than this database: give after= a token() of the same one, connected "
            "to by the same name"
        )
    return claim.position if now < claim.expires else None


def _mac(payload: bytes, key: bytes) -> bytes:
    return hmac.digest(key, payload, "sha256")[:_MAC_BYTES]


def _invalid_token() -> ConfigError:
    return ConfigError(
        "the token given as after= was not signed with this process's key: connect with the same token_key= (or "
        "RDSKIT_TOKEN_KEY) wherever tokens are made and read; without one, they are valid in their own process only"
    )
