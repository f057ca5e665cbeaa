"""Decide on the demands of PostgreSQL's streaming replication. Plain values in, plain values out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# A hot standby stops replaying unless its value of each of these is at least its primary's. Source: PostgreSQL
# documentation, "Hot Standby", "Administrator's Overview". The numbers are the defaults of a server here.
RECOVERY_LIMITS: Final[Mapping[str, int]] = {
    "max_connections": 200,
    "max_worker_processes": 8,
    "max_wal_senders": 20,
    "max_prepared_transactions": 0,
    "max_locks_per_transaction": 64,
}


def is_ahead(received: int, switch_point: int) -> bool:
    """Return whether a replica has WAL that the promoted standby did not have, so that their histories diverge.

    Args:
        received: the end of the WAL that the replica has received, as a byte position.
        switch_point: the byte position at which the new timeline begins.
    """
    return received > switch_point


def position(lsn: str) -> int:
    """Return a PostgreSQL LSN such as ``0/3000060`` as a byte position."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def standby_limits(own: Mapping[str, str], primary: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a standby that may not be below its primary's.

    Args:
        own: settings of the standby; the present ones while a value is being lowered.
        primary: settings of its primary.
    """
    return {
        name: str(max(int(own.get(name, default)), int(primary.get(name, default))))
        for name, default in RECOVERY_LIMITS.items()
    }
