"""The AWS key pair of a local RDS: random, made once, known to its IAM as an administrator's."""

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
    """What a client signs with."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


def read_key_pair(path: Path) -> KeyPair | None:
    """The key pair in a file, if there is one."""
    stored = read_json(path)
    return KeyPair(**stored) if stored else None


def ensure_key_pair(path: Path) -> KeyPair:
    """The key pair in a file, made if it is not there yet."""
    if pair := read_key_pair(path):
        return pair
    pair = KeyPair(
        access_key_id="AKIA" + base64.b32encode(secrets.token_bytes(10)).decode(),
        secret_access_key=base64.b64encode(secrets.token_bytes(30)).decode(),
    )
    write_json(path, asdict(pair))
    return pair


def page_key(pair: KeyPair) -> str:
    """Return the Authorization header that opens the local RDS's own pages; it does not reveal the secret key."""
    return f"Bearer {hmac.digest(pair.secret_access_key.encode(), b'rdskit pages', 'sha256').hex()}"


def is_page_key(pair: KeyPair, header: str) -> bool:
    """Return whether an Authorization header opens the pages; compared in constant time."""
    return hmac.compare_digest(page_key(pair).encode(), header.encode())
