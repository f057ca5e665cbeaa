"""Several databases that share the rows of one application: a key says where a row is, and keys move while it runs."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from rdskit.scale.sharding.model import ShardConfig, ShardMap
from rdskit.scale.sharding.policy import BUCKETS, bucket_of, uuid7_of
from rdskit.scale.sharding.service import Shards

if TYPE_CHECKING:
    from uuid import UUID

__all__ = ["BUCKETS", "ShardConfig", "ShardMap", "Shards", "bucket_of", "uuid7"]


def uuid7() -> UUID:
    """Return a new UUID of version 7: unique over all shards, and in the order of time."""
    return uuid7_of(time.time_ns() // 1_000_000, os.urandom(10))
