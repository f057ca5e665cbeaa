"""Redis and Valkey: one pipelined connection over hiredis, for caches and message buses."""

from rdskit.drivers.redis.address import RedisAddress
from rdskit.drivers.redis.client import Redis

__all__ = ["Redis", "RedisAddress"]
