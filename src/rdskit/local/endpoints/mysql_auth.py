"""How MySQL and MariaDB check passwords, as far as the internal password of IAM users needs it.

``mysql_native_password``: MySQL Source Code Documentation, "Native Authentication". ``caching_sha2_password``: the
same, "Caching_sha2_password information"; what it stores is SHA-crypt with a salt of twenty bytes (Ulrich Drepper,
"Unix crypt using SHA-256 and SHA-512").
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field
from typing import Final

NATIVE: Final = "mysql_native_password"
CACHING_SHA2: Final = "caching_sha2_password"

_SALT: Final = 20
_ROUNDS: Final = 5000  # "005", in thousands and hexadecimal, in what is stored
_ALPHABET: Final = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGEST: Final = 32


@dataclass(frozen=True, slots=True)
class StoredPassword:
    """What a server keeps of a password: the plugin that checks it, and its hash."""

    plugin: str
    hash: str = field(repr=False)


@functools.lru_cache(maxsize=8)
def stored(secret: str, *, mariadb: bool) -> StoredPassword:
    """How IAM users are known: the internal password, hashed in the same way each time.

    Args:
        secret: the internal password of the local RDS.
        mariadb: MySQL from 9.0 on has no native passwords.
    """
    if mariadb:
        return StoredPassword(NATIVE, "*" + _sha1(_sha1(secret.encode())).hex().upper())
    salt = hashlib.sha256(b"salt of " + secret.encode()).hexdigest()[:_SALT].encode()
    return StoredPassword(CACHING_SHA2, f"$A$005${salt.decode()}{_sha256_crypt(secret.encode(), salt)}")


def respond(plugin: str, secret: str, scramble: bytes) -> bytes:
    """What a client that knows the password answers to a scramble; empty for a plugin that is not known here."""
    password = secret.encode()
    if plugin == NATIVE:
        once = _sha1(password)
        return _xor(once, _sha1(scramble + _sha1(once)))
    if plugin == CACHING_SHA2:
        once = _sha256(password)
        return _xor(once, _sha256(_sha256(once) + scramble))
    return b""


def _sha256_crypt(password: bytes, salt: bytes) -> str:
    seed = _repeated(_sha256(password + salt + password), len(password))
    mix = password + salt + seed
    mix += b"".join(_sha256(password + salt + password) if bit == "1" else password for bit in _bits(len(password)))
    digest = _sha256(mix)
    phrase = _repeated(_sha256(password * len(password)), len(password))
    grain = _repeated(_sha256(salt * (16 + digest[0])), len(salt))
    for number in range(_ROUNDS):
        odd = number % 2
        text = phrase if odd else digest
        text += grain if number % 3 else b""
        text += phrase if number % 7 else b""
        digest = _sha256(text + (digest if odd else phrase))
    return _encoded(digest)


def _bits(length: int) -> str:
    """The bits of a number from the lowest on, without leading zeros."""
    return bin(length)[:1:-1]


def _encoded(digest: bytes) -> str:
    # Three bytes become four characters; which three, the algorithm says.
    first, second, third = 0, 10, 20
    text = b""
    for _ in range(_DIGEST // 3):
        text += _characters(digest[first] << 16 | digest[second] << 8 | digest[third], 4)
        first, second, third = third + 1, first + 1, second + 1
    return (text + _characters(digest[31] << 8 | digest[30], 3)).decode()


def _characters(value: int, count: int) -> bytes:
    return bytes(_ALPHABET[value >> 6 * place & 0x3F] for place in range(count))


def _repeated(block: bytes, length: int) -> bytes:
    return (block * (length // len(block) + 1))[:length]


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
