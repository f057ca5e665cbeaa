"""Decide which hosts to try, in which order, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.kernel.backoff import CONNECT
from rdskit.kernel.failures import Failure
from rdskit.kernel.topology import Host, Role, Topology

if TYPE_CHECKING:
    from rdskit.kernel.ports import DriverError


def hosts_for(role: Role, topology: Topology, turn: int) -> tuple[Host, ...]:
    """Return the hosts that may serve, in the order in which to try them; for readers, the writer comes last.

    Args:
        role: the required role.
        topology: the known topology.
        turn: number of connections opened before, so that readers get equal shares.
    """
    writers = tuple(host for host in topology.hosts if host.role is Role.WRITER)
    readers = topology.readers
    if role is Role.WRITER or not readers:
        return writers
    start = turn % len(readers)
    return (*readers[start:], *readers[:start], *writers)


def pause_while_away(error: DriverError, elapsed: float, limit: float, chance: float) -> float | None:
    """Return the seconds to wait before the next attempt; None if the error is final.

    Args:
        error: the error of the last attempt.
        elapsed: seconds since the first attempt began.
        limit: seconds for all attempts together.
        chance: a random number from 0 to 1.
    """
    # Only an unreachable host may come back. A refusal (password, TLS, no such database) stays the same.
    if error.failure is not Failure.LOST or elapsed >= limit:
        return None
    return min(CONNECT.delay(elapsed, chance), limit - elapsed)
