"""Check once, when a database is opened, whether the server has room for the pools of all processes."""

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
    """Compare the pools of all processes with the writer's connection limit, and warn if they exceed it.

    Behind RDS Proxy nothing is checked, because the proxy shares few server connections among many clients.

    Raises:
        ConfigError: even the connections that are always kept open exceed the limit.
    """
    if cluster.is_stateless:
        return
    # The writer has answered already, so this takes an idle connection. A failed query only skips the check.
    lease = await cluster.acquire_writer(Deadline.after(_TIMEOUT))
    try:
        capacity = await lease.connection.capacity(_TIMEOUT)
    except DriverError as error:
        _log.info("the connection limit of %s is unknown: %s", cluster.writer.endpoint, error)
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
