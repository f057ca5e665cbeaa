"""Create and read the AWS key pair of a local RDS, and derive the key of its own pages."""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from rdskit.local.control.layout import read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KeyPair", "ensure_key_pair", "is_page_key", "page_key", "read_key_pair"]


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The access key id and the secret that a client signs with."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


def read_key_pair(path: Path) -> KeyPair | None:
    """Return the key pair in a file; None if there is none."""
    stored = read_json(path)
    return KeyPair(**stored) if stored else None


def ensure_key_pair(path: Path) -> KeyPair:
    """Return the key pair in a file, which is created if it does not exist."""
    if pair := read_key_pair(path):
        return pair
    pair = KeyPair(
        # The shape of AWS's keys: AKIA and 16 characters of base 32, a secret of 40 characters of base 64.
        access_key_id="AKIA" + base64.b32encode(secrets.token_bytes(10)).decode(),
        secret_access_key=base64.b64encode(secrets.token_bytes(30)).decode(),
    )
    write_json(path, asdict(pair))
    return pair


def page_key(pair: KeyPair) -> str:
    """Return the Authorization header for the local RDS's own pages; it does not reveal the secret key."""
    # Derived, not stored: who can read the key pair can compute it, and there is no second secret to protect.
    return f"Bearer {hmac.digest(pair.secret_access_key.encode(), b'rdskit pages', 'sha256').hex()}"


def is_page_key(pair: KeyPair, header: str) -> bool:
    """Return whether an Authorization header is that of the pages; compare in constant time."""
    return hmac.compare_digest(page_key(pair).encode(), header.encode())
