"""Decisions on plain values: which hosts are tried, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.kernel.backoff import CONNECT
from rdskit.kernel.failures import Failure
from rdskit.kernel.topology import Host, Role, Topology

if TYPE_CHECKING:
    from rdskit.kernel.ports import DriverError


def hosts_for(role: Role, topology: Topology, turn: int) -> tuple[Host, ...]:
    """Return the hosts that may serve, in the order in which to try them; the writer stands in for its readers.

    Args:
        role: what is wanted.
        topology: what there is.
        turn: how many connections were opened before: readers share them evenly.
    """
    writers = tuple(host for host in topology.hosts if host.role is Role.WRITER)
    readers = topology.readers
    if role is Role.WRITER or not readers:
        return writers
    start = turn % len(readers)
    return (*readers[start:], *readers[:start], *writers)


def pause_while_away(error: DriverError, elapsed: float, limit: float, chance: float) -> float | None:
    """Return the seconds to wait before the hosts are tried again; None when the error is final.

    Args:
        error: what the last attempt ended with.
        elapsed: seconds since the first attempt began.
        limit: seconds that all attempts may take together.
        chance: random, from 0 to 1.
    """
    if error.failure is not Failure.LOST or elapsed >= limit:
        return None
    return min(CONNECT.delay(elapsed, chance), limit - elapsed)
