"""Compute password hashes and responses of MySQL and MariaDB for the internal password of IAM users.

``mysql_native_password``: MySQL Source Code Documentation, "Native Authentication". ``caching_sha2_password``: the
same, "Caching_sha2_password information". The stored hash is SHA-crypt with a salt of twenty bytes (Ulrich Drepper,
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
_ROUNDS: Final = 5000  # stored as "005": thousands, in hexadecimal
_ALPHABET: Final = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGEST: Final = 32


@dataclass(frozen=True, slots=True)
class StoredPassword:
    """The entry of a password in mysql.user: its plugin and its hash."""

    plugin: str
    hash: str = field(repr=False)


@functools.lru_cache(maxsize=8)
def stored(secret: str, *, mariadb: bool) -> StoredPassword:
    """Return the stored form of the internal password; the same each time.

    An IAM user is recognized by this hash, so the salt must not be random.

    Args:
        secret: the internal password of the local RDS.
        mariadb: whether the server is MariaDB. It keeps native passwords, which MySQL 9.0 removed.
    """
    if mariadb:
        return StoredPassword(NATIVE, "*" + _sha1(_sha1(secret.encode())).hex().upper())
    salt = hashlib.sha256(b"salt of " + secret.encode()).hexdigest()[:_SALT].encode()
    return StoredPassword(CACHING_SHA2, f"$A$005${salt.decode()}{_sha256_crypt(secret.encode(), salt)}")


def respond(plugin: str, secret: str, scramble: bytes) -> bytes:
    """Return a client's response to a scramble; empty for an unknown plugin."""
    password = secret.encode()
    if plugin == NATIVE:
        # SHA1(password) XOR SHA1(scramble + SHA1(SHA1(password)))
        once = _sha1(password)
        return _xor(once, _sha1(scramble + _sha1(once)))
    if plugin == CACHING_SHA2:
        # SHA256(password) XOR SHA256(SHA256(SHA256(password)) + scramble)
        once = _sha256(password)
        return _xor(once, _sha256(_sha256(once) + scramble))
    return b""


def _sha256_crypt(password: bytes, salt: bytes) -> str:
    # Names and order as in the specification: "digest B", "digest A", then the P and S sequences and the rounds.
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
    """Return the bits of a number, lowest first, without leading zeros."""
    return bin(length)[:1:-1]


def _encoded(digest: bytes) -> str:
    # Base64 with an own alphabet: three bytes become four characters, in the order that the specification lists.
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
