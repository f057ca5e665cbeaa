"""The pool of one host: fair, cancel-safe, and nothing on the wire that the caller did not ask for.

A free connection is taken from a stack; who finds none waits in a queue and is handed the next one directly.
Connections are opened by the pool's own tasks, so that a caller who gives up neither loses nor aborts one, and a host
that is away sees one attempt at a time however many wait for it.
"""

from rdskit.client.pool.deadlock_guard import Hold, holding
from rdskit.client.pool.lease import Lease
from rdskit.client.pool.model import PoolLimits, PoolStats
from rdskit.client.pool.policy import Overdraft, overdraft
from rdskit.client.pool.service import Pool, Retired

__all__ = ["Hold", "Lease", "Overdraft", "Pool", "PoolLimits", "PoolStats", "Retired", "holding", "overdraft"]
