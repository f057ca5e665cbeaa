"""Asking the writer how far its log has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.kernel.ports import DriverError
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from rdskit.client.failover.cluster import Cluster
    from rdskit.kernel.positions import Position


async def writer_position(cluster: Cluster, timeout: float) -> Position | None:
    """Return how far the writer's log has come; None where it keeps no positions.

    Args:
        cluster: whose writer.
        timeout: seconds for the connection, and again for the answer.

    Raises:
        RdskitError: the writer could not be asked.
    """
    lease = await cluster.acquire_writer(Deadline.after(timeout))
    try:
        return await lease.connection.written_position(timeout)
    except DriverError as error:
        raise error.public from error.__cause__
    finally:
        lease.give_back()
