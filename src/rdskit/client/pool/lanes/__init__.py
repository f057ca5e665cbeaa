"""Pipeline many tasks' reads on few connections beside a pool, without waiting for each answer."""

from rdskit.client.pool.lanes.model import LaneLimits, LaneStats
from rdskit.client.pool.lanes.policy import Standings
from rdskit.client.pool.lanes.service import Lanes

__all__ = ["LaneLimits", "LaneStats", "Lanes", "Standings"]
