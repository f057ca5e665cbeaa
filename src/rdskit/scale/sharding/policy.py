"""Which bucket a key belongs to, and which buckets move when shards join or leave. Frozen: stored rows depend on it."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from rdskit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BUCKETS: Final = 4096
_SHIFT: Final = 64 - 12


def bucket_of(key: Any) -> int:
    """Return the bucket of a shard key, from 0 to 4095.

    The first 12 bits of an 8-byte BLAKE2b of the key, with a tag for its type: ``1`` and ``"1"`` are two keys.

    Args:
        key: a whole number, a text, bytes or a UUID.

    Raises:
        ConfigError: it is of another type, which may not be written alike everywhere.
    """
    if isinstance(key, bool):
        raise _wrong_key(key)
    if isinstance(key, int):
        data = b"i" + str(int(key)).encode()
    elif isinstance(key, str):
        data = b"s" + key.encode()
    elif isinstance(key, UUID):
        data = b"u" + key.bytes
    elif isinstance(key, bytes | bytearray | memoryview):
        data = b"b" + bytes(key)
    else:
        raise _wrong_key(key)
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest()) >> _SHIFT


def _wrong_key(key: object) -> ConfigError:
    return ConfigError(f"a shard key of type {type(key).__name__} has no bucket: give an int, a str, bytes or a UUID")


def first_owners(shards: Sequence[str]) -> list[str]:
    """Return the owner of each bucket of a new map: ranges of equal size, in the order of the shards.

    Args:
        shards: their names.
    """
    return [shards[bucket * len(shards) // BUCKETS] for bucket in range(BUCKETS)]


def rebalanced(owners: Sequence[str], shards: Sequence[str]) -> dict[int, str]:
    """Return the new owner of each bucket that has to move so that all shards have equally many: as few as possible.

    Args:
        owners: the owner of each bucket.
        shards: those that are to have buckets.
    """
    wanted = Counter(first_owners(shards))
    spare = Counter(owners)
    moves: dict[int, str] = {}
    poor = [name for name in shards for _ in range(max(0, wanted[name] - spare[name]))]
    for bucket in reversed(range(BUCKETS)):
        owner = owners[bucket]
        if poor and spare[owner] > wanted[owner]:
            spare[owner] -= 1
            moves[bucket] = poor.pop()
    return dict(sorted(moves.items()))


def in_slices(moves: Mapping[int, str], owners: Sequence[str], most: int) -> list[tuple[int, int, str, str]]:
    """Return moves as slices of neighbors: first bucket, last bucket, from where, and where to.

    Args:
        moves: the new owner of each bucket that moves.
        owners: the owner of each bucket now.
        most: buckets in a slice; their writes wait together.
    """
    slices: list[tuple[int, int, str, str]] = []
    for bucket, to in sorted(moves.items()):
        source = owners[bucket]
        if slices:
            low, high, *ends = slices[-1]
            if high == bucket - 1 and ends == [source, to] and high - low + 1 < most:
                slices[-1] = (low, bucket, source, to)
                continue
        slices.append((bucket, bucket, source, to))
    return slices


def uuid7_of(milliseconds: int, random_bytes: bytes) -> UUID:
    """Return a UUID of version 7 (RFC 9562): ids that no other shard makes, and that sort by their time.

    Args:
        milliseconds: since 1970.
        random_bytes: ten of them.
    """
    rest = int.from_bytes(random_bytes[:10])
    value = (milliseconds & (1 << 48) - 1) << 80 | rest
    value = value & ~(0xF << 76) | 0x7 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)
