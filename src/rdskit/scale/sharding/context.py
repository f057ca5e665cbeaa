"""What statements need of the shards that they run on; ``Shards`` implements it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rdskit.client.api import Database
    from rdskit.runtime.deadlines import Deadline
    from rdskit.scale.sharding.merge import Merge
    from rdskit.scale.sharding.model import ShardConfig
    from rdskit.scale.sharding.router import MapReader


class ShardContext(Protocol):
    """The shards, as the modules of this room see them.

    Attributes:
        config: the configuration.
        fence: the statement that holds a bucket in a transaction.
        merges: how queries over shards run, by their texts and whether they are colocated.
    """

    config: ShardConfig
    fence: str
    merges: dict[tuple[str, bool], Merge]

    async def opened(self) -> MapReader:
        """Return the map's reader, once the shards are connected."""
        ...

    def database(self, shard: str) -> Database:
        """Return the database of a shard."""
        ...

    def limit(self, timeout: float | None) -> Deadline:
        """Return the deadline of a call."""
        ...

    def keep(self, key: tuple[str, bool], merge: Merge) -> None:
        """Remember how a query runs."""
        ...
