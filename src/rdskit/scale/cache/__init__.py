"""A cache of query results in Redis or Valkey that is invalidated by the writes of the database object."""

from rdskit.scale.cache.cache import Cache
from rdskit.scale.cache.model import CacheStats

__all__ = ["Cache", "CacheStats"]
