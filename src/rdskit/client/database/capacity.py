"""Whether the server has room for the pools of all processes; asked once, when a database is opened."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rdskit.client.pool import overdraft
from rdskit.errors import ConfigError
from rdskit.kernel.ports import DriverError
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from rdskit.client.failover import Cluster
    from rdskit.client.pool import PoolLimits

_TIMEOUT = 2.0  # seconds to ask the server
_log = logging.getLogger("rdskit.pool")


async def check_budget(cluster: Cluster, limits: PoolLimits, processes: int) -> None:
    """Compare what all processes may open with what the writer takes, and say so if it is too much.

    Behind a proxy nothing is asked: sharing few server connections is what it is there for.

    Raises:
        ConfigError: not even the connections that are always kept open fit.
    """
    if cluster.is_stateless:
        return
    lease = await cluster.acquire_writer(Deadline.after(_TIMEOUT))
    try:
        capacity = await lease.connection.capacity(_TIMEOUT)
    except DriverError as error:
        _log.info("how many connections %s takes is not known: %s", cluster.writer.endpoint, error)
        return
    finally:
        lease.give_back()
    excess = overdraft(limits, processes, capacity.room)
    if excess is None:
        return
    size = "min_size" if excess.hopeless else "max_size"
    message = (
        f"{processes} process(es) with {size}={excess.wanted // processes} want {excess.wanted} connections to "
        f"{cluster.writer.endpoint}, which has room for {excess.room} (max_connections {capacity.max_connections}, "
        f"reserved {capacity.reserved}, own limit {capacity.allowed or 'none'}): lower {size}, raise the limit, or put "
        "an RDS Proxy between"
    )
    if excess.hopeless:
        raise ConfigError(message)
    _log.warning("%s", message)
