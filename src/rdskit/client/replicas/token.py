"""A position as a signed text that crosses processes, in a cookie, a header or a message.

A position counts within its history only (PostgreSQL's timeline, the server that wrote last on MariaDB), so the token
names that too: after a failover, the same number may stand for something else.

A token is base64url of a MAC (HMAC-SHA-256, its first 16 bytes) and of ``version|cluster|expiry|position``. The
cluster is a digest, so that no host name leaves the house. A position is no secret: the signature keeps others from
naming one that no reader ever reaches, which would send every read to the writer.
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

LIFETIME: Final = 3600  # seconds that a token counts
_VERSION: Final = "1"
_MAC_BYTES: Final = 16
_UNKNOWN: Final = "writer"


class Claim(NamedTuple):
    """What a token says.

    Attributes:
        cluster: whose position it is, as ``cluster_digest`` gives it.
        position: what must be shown; None where only the writer surely shows it.
        expires: when it ceases to count, in seconds since 1970.
    """

    cluster: str
    position: Position | None
    expires: int


def cluster_digest(name: str) -> str:
    """A short name for a cluster that tells nothing about it."""
    return hashlib.blake2b(name.encode(), digest_size=8).hexdigest()


def sign(claim: Claim, key: bytes) -> str:
    """Write a claim as a token: letters, digits, ``-`` and ``_`` only."""
    shown = _UNKNOWN if claim.position is None else position_to_text(claim.position)
    payload = "|".join((_VERSION, claim.cluster, str(claim.expires), shown)).encode()
    return urlsafe_b64encode(_mac(payload, key) + payload).rstrip(b"=").decode()


def verify(text: str, key: bytes) -> Claim:
    """Read a token.

    Raises:
        ConfigError: it was not signed with this key, or is not a token at all.
    """
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise _not_ours() from None
    mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(payload, key)):
        raise _not_ours()
    version, _, rest = payload.decode().partition("|")
    if version != _VERSION:
        raise ConfigError("the token was made by another version of rdskit: let it expire, or do without it")
    cluster, expires, shown = rest.split("|")
    return Claim(cluster, None if shown == _UNKNOWN else position_from_text(shown), int(expires))


def position_to_see(claim: Claim, cluster: str, now: float) -> Position | None:
    """What a read with this token must see; None sends it to the writer.

    A token that has expired asks for the writer, which is always right. One of another cluster is a mistake.

    Args:
        claim: what the token says.
        cluster: our own digest.
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


def _not_ours() -> ConfigError:
    return ConfigError(
        "the token given as after= was not signed with this process's key: connect with the same token_key= (or "
        "RDSKIT_TOKEN_KEY) wherever tokens are made and read; without one, they are valid in their own process only"
    )
