"""What a router knows: the shards, the tables, and who owns each bucket."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rdskit.errors import ConfigError
from rdskit.scale.sharding.policy import BUCKETS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rdskit.kernel.ports import Row

_TOP: Final = frozenset({"shards", "tables", "map", "bucket", "reference", "lease"})


@dataclass(frozen=True, slots=True)
class ShardConfig:
    """What ``shards.toml`` says.

    Attributes:
        shards: name → target of its database.
        tables: name → its shard key; parents before children, as rows are copied in this order.
        map_at: the shard that keeps the map.
        bucket: the column of each table that holds the row's bucket.
        reference: tables that are the same on every shard, with which sharded tables may be joined.
        lease: seconds for which a router may rely on the map without asking; a move waits for as long.
    """

    shards: Mapping[str, str]
    tables: Mapping[str, str] = field(default_factory=dict)
    map_at: str = ""
    bucket: str = "bucket"
    reference: frozenset[str] = frozenset()
    lease: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigError: a part is missing or of a wrong type.
        """
        if not self.shards:
            raise ConfigError('there are no shards: write [shards] with NAME = "TARGET"')
        if self.map_at not in self.shards:
            raise ConfigError(f"map = {self.map_at!r} is none of the shards: {', '.join(self.shards)}")
        for name in self.shards:
            if not name or len(name) > 64 or not name.replace("-", "").replace("_", "").isalnum():  # noqa: PLR2004 - the column's size
                raise ConfigError(f"shard name {name!r} cannot be used: give letters, digits, '-' and '_', at most 64")
        if not 0.1 <= self.lease <= 60:  # noqa: PLR2004 - a router asks five times within it
            raise ConfigError(f"lease = {self.lease!r} is not between 0.1 and 60 seconds")


def config_from(content: Mapping[str, Any]) -> ShardConfig:
    """Return the configuration that a file holds.

    Args:
        content: what was read from TOML.

    Raises:
        ConfigError: something in it is not known, or wrong.
    """
    for key in content:
        if key not in _TOP:
            raise ConfigError(f"{key!r} is not known in the configuration of shards; known: {', '.join(sorted(_TOP))}")
    shards, tables = content.get("shards"), content.get("tables", {})
    if not isinstance(shards, dict) or not all(isinstance(each, str) for each in shards.values()):
        raise ConfigError('shards is not a table of targets: write [shards] with NAME = "TARGET"')
    if not isinstance(tables, dict) or not all(
        isinstance(each, dict) and set(each) == {"key"} and isinstance(each["key"], str) for each in tables.values()
    ):
        raise ConfigError('tables is not as expected: write [tables.users] with key = "id"')
    reference = content.get("reference", [])
    if not isinstance(reference, list) or not all(isinstance(each, str) for each in reference):
        raise ConfigError('reference is not a list of tables: write reference = ["countries"]')
    lease = content.get("lease", 0.5)
    if not isinstance(lease, int | float) or isinstance(lease, bool):
        raise ConfigError(f"lease = {lease!r} is not a number of seconds")
    return ShardConfig(
        shards=shards,
        tables={name: each["key"] for name, each in tables.items()},
        map_at=str(content.get("map", next(iter(shards), ""))),
        bucket=str(content.get("bucket", "bucket")),
        reference=frozenset(reference),
        lease=float(lease),
    )


@dataclass(frozen=True, slots=True)
class ShardMap:
    """Who owns each bucket.

    Attributes:
        epoch: rises with each change.
        owners: the shard of each bucket.
        closed: buckets that are being moved; nothing reads or writes them until it is over.
    """

    epoch: int
    owners: tuple[str, ...]
    closed: frozenset[int]

    def counts(self) -> Counter[str]:
        """Return how many buckets each shard has."""
        return Counter(self.owners)


def map_from(epoch: int, rows: Sequence[Row]) -> ShardMap:
    """Return the map that a table holds.

    Args:
        epoch: the table's.
        rows: bucket, shard and whether it is closed.

    Raises:
        ConfigError: a bucket has no owner: it is never guessed.
    """
    owners = {int(bucket): str(shard) for bucket, shard, _ in rows}
    if owners.keys() != set(range(BUCKETS)):
        raise ConfigError(f"the map of shards has {len(owners)} of {BUCKETS} buckets: run `rdskit shards init` again")
    closed = frozenset(int(bucket) for bucket, _, is_closed in rows if is_closed)
    return ShardMap(epoch, tuple(owners[bucket] for bucket in range(BUCKETS)), closed)


class Slice(NamedTuple):
    """Neighboring buckets that move together.

    Attributes:
        low: the first bucket.
        high: the last bucket.
        source: the shard that has them.
        target: the shard that gets them.
    """

    low: int
    high: int
    source: str
    target: str

    @property
    def name(self) -> str:
        """Return how plans call it."""
        return f"{self.low}-{self.high}"
