"""The frozen hash, balanced maps, and ids."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from rdskit.errors import ConfigError
from rdskit.scale.sharding import BUCKETS, bucket_of, uuid7
from rdskit.scale.sharding.policy import first_owners, in_slices, rebalanced, uuid7_of

if TYPE_CHECKING:
    from collections.abc import Callable

VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text())


def _key(kind: str, text: str) -> Any:
    readers: dict[str, Callable[[str], Any]] = {"int": int, "str": str, "bytes": bytes.fromhex, "uuid": UUID}
    return readers[kind](text)


@pytest.mark.parametrize(("kind", "text", "bucket"), VECTORS)
def test_stored_rows_stay_where_they_are(kind: str, text: str, bucket: int) -> None:
    assert bucket_of(_key(kind, text)) == bucket


@pytest.mark.parametrize("key", [True, None, 1.0, (1,), [1]])
def test_keys_without_one_form_are_refused(key: object) -> None:
    with pytest.raises(ConfigError, match="shard key of type"):
        bucket_of(key)


def test_keys_spread_evenly() -> None:
    counts = Counter(bucket_of(number) * 16 // BUCKETS for number in range(32_000))
    assert min(counts.values()) > 1800


def test_four_to_five_moves_a_fifth_of_the_keys() -> None:
    names = ["a", "b", "c", "d", "e"]
    before = first_owners(names[:4])
    moves = rebalanced(before, names)
    moved = sum(bucket_of(number) in moves for number in range(100_000)) / 100_000
    assert moved <= 0.21
    after = [moves.get(bucket, owner) for bucket, owner in enumerate(before)]
    assert max(Counter(after).values()) - min(Counter(after).values()) <= 1
    assert rebalanced(after, names) == {}
    back = rebalanced(after, names[:4])
    assert set(back) == {bucket for bucket, owner in enumerate(after) if owner == "e"}
    slices = in_slices(moves, before, 16)
    assert sum(high - low + 1 for low, high, *_ in slices) == len(moves)
    assert all(before[low] == before[high] == source for low, high, source, _ in slices)


def test_uuid7_has_its_bits_and_sorts_by_time() -> None:
    value = uuid7_of(0x017F22E279B0, bytes.fromhex("0cc318c4dc0c0c07398f"))
    assert str(value) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"  # RFC 9562, A.6
    assert uuid7_of(1, b"\xff" * 10) < uuid7_of(2, b"\0" * 10)
    assert uuid7().version == 7
    assert len({uuid7() for _ in range(1000)}) == 1000
