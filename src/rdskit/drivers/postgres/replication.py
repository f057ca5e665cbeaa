"""How far a PostgreSQL server has written or replayed: by its log, and on Aurora by the transactions that it shows.

Aurora's readers receive no log. It refuses the functions that tell a standby's position (SQLSTATE 0A000, "Function
pg_last_xlog_receive_location() is currently not supported for Aurora"), and those that tell the writer's without
logical replication ("WAL control functions cannot be executed when wal_level < logical"). It has
``aurora_replica_status()`` instead, whose ``durable_lsn`` and ``current_read_lsn`` look like a position. They are not
taken for one: the Aurora User Guide says neither how old a row may be when it is read (``last_update_timestamp`` tells
that it may be), nor that a query sees all up to ``current_read_lsn``, which it defines for "all readers". Only
``replica_lag_in_msec`` is read there, where nothing but load depends on it.

What surely tells is a snapshot (PostgreSQL, "Transaction ID and Snapshot Information Functions"): of one that the
writer takes after a commit, ``xmax`` lies beyond that transaction, because it is "one past the highest completed
transaction ID"; and in a snapshot of a reader, "all transaction IDs less than ``xmin`` are either committed and
visible, or rolled back and dead". So a reader whose ``xmin`` has come to the writer's ``xmax`` shows the commit. That
is what visibility means, whichever way the rows have come; a standby of plain PostgreSQL keeps it too. The price: a
transaction that writes for long holds ``xmin`` back on all readers, and reads that must see something younger go to
the writer meanwhile.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from rdskit.kernel.ports import ReaderProgress
from rdskit.kernel.positions import START, Lsn, Xid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Fetch = Callable[[str, Sequence[Any], float | None], Awaitable[Any]]

_IS_AURORA: Final = "select to_regproc('pg_catalog.aurora_replica_status') is not null"

# The name of a log file begins with the timeline; unlike everything else that tells it, any user may ask for it.
_WRITTEN: Final = "select pg_current_wal_insert_lsn()::text, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"
_PROGRESS: Final = """
select pg_is_in_recovery(),
       pg_last_wal_replay_lsn()::text,
       coalesce(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), pg_last_wal_replay_lsn())::text,
       case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
            else coalesce(extract(epoch from now() - pg_last_xact_replay_timestamp()), 0) end::float8
"""

_AURORA_WRITTEN: Final = "select pg_snapshot_xmax(pg_current_snapshot())::text"
_AURORA_PROGRESS: Final = """
select pg_is_in_recovery(), pg_snapshot_xmin(pg_current_snapshot())::text,
       (select (max(coalesce(replica_lag_in_msec, 0)) / 1000.0)::float8 from pg_catalog.aurora_replica_status()
        where server_id = pg_catalog.aurora_db_instance_identifier())
"""

_NO_REPLICA: Final = ReaderProgress(replays=False, position=START, received=START, lag=0.0)


class PositionReader:
    """Asks one connection for positions; with the first question, whether its server is Aurora.

    Args:
        fetch: gives the first row of a query, as ``Connection.fetch_one`` does.
    """

    __slots__ = ("_aurora", "_fetch")

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._aurora: bool | None = None

    async def written(self, timeout: float | None) -> Lsn | Xid:
        """Where the writer is now, such that a reader can get there."""
        if await self._is_aurora(timeout):
            return Xid.parse((await self._fetch(_AURORA_WRITTEN, (), timeout))[0])
        lsn, timeline = await self._fetch(_WRITTEN, (), timeout)
        return Lsn.parse(lsn, int(timeline, 16)).normalised()

    async def progress(self, timeout: float | None) -> ReaderProgress:
        """How far this reader has come."""
        if await self._is_aurora(timeout):
            return _aurora_progress(*await self._fetch(_AURORA_PROGRESS, (), timeout))
        replays, replayed, received, lag = await self._fetch(_PROGRESS, (), timeout)
        if not replays:
            return _NO_REPLICA
        return ReaderProgress(replays=True, position=Lsn.parse(replayed), received=Lsn.parse(received), lag=lag)

    async def _is_aurora(self, timeout: float | None) -> bool:
        if self._aurora is None:
            self._aurora = bool((await self._fetch(_IS_AURORA, (), timeout))[0])
        return self._aurora


def _aurora_progress(reads: bool, shown: str, lag: float | None) -> ReaderProgress:  # noqa: FBT001 - a row
    """Read an answer; a reader that the cluster's status does not name counts as one that stands still.

    It has received nothing: it reads the writer's storage, and holds no log that the next writer might lack.
    """
    if not reads:
        return _NO_REPLICA
    seconds = math.inf if lag is None else lag
    return ReaderProgress(replays=True, position=Xid.parse(shown), received=START, lag=seconds)
