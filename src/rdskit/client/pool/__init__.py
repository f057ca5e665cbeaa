"""Lease one host's connections to callers in order of arrival.

The pool keeps idle connections on a stack. A caller who finds the stack empty waits in a queue, and gets the next
connection directly. The pool's own tasks open connections, so a cancelled caller neither leaks nor aborts one. While a
host is unreachable, the pool makes one attempt at a time, however many callers wait.
"""

from rdskit.client.pool.deadlock_guard import Hold, holding
from rdskit.client.pool.lanes import Lanes, LaneStats, Standings
from rdskit.client.pool.lease import Lease
from rdskit.client.pool.model import PoolLimits, PoolStats
from rdskit.client.pool.policy import Overdraft, overdraft
from rdskit.client.pool.service import Pool, Retired

__all__ = [
    "Hold",
    "LaneStats",
    "Lanes",
    "Lease",
    "Overdraft",
    "Pool",
    "PoolLimits",
    "PoolStats",
    "Retired",
    "Standings",
    "holding",
    "overdraft",
]
