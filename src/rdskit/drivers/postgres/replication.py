"""Query how far a PostgreSQL server has written or replayed: by its log, and on Aurora by its snapshots.

Aurora's readers receive no log. Aurora refuses the functions that report a standby's position (SQLSTATE 0A000,
"Function pg_last_xlog_receive_location() is currently not supported for Aurora"). Without logical replication it also
refuses those that report the writer's ("WAL control functions cannot be executed when wal_level < logical").

Its ``aurora_replica_status()`` has ``durable_lsn`` and ``current_read_lsn``, which look like positions, but they are
not used as such. The Aurora User Guide does not say how old a row may be when it is read, and ``last_update_timestamp``
indicates that it may be old. The guide also does not say that a query sees everything up to ``current_read_lsn``, which
it defines for "all readers". Only ``replica_lag_in_msec`` is read there, for balancing load.

A snapshot is reliable (PostgreSQL, "Transaction ID and Snapshot Information Functions"). If the writer takes one after
a commit, its ``xmax`` is beyond that transaction, because it is "one past the highest completed transaction ID". In a
reader's snapshot "all transaction IDs less than ``xmin`` are either committed and visible, or rolled back and dead". So
a reader whose ``xmin`` has reached the writer's ``xmax`` shows the commit. This is the definition of visibility,
however the rows reach the reader; a standby of plain PostgreSQL follows it too. The price: a long writing transaction
holds ``xmin`` back on all readers. In the meantime, reads that must see a later write go to the writer.
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

# The name of a log file begins with the timeline. Other sources of the timeline need more privileges.
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
    """Query positions on one connection; the first query also finds out whether the server is Aurora.

    Args:
        fetch: returns the first row of a query, as ``Connection.fetch_one`` does.
    """

    __slots__ = ("_aurora", "_fetch")

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._aurora: bool | None = None

    async def written(self, timeout: float | None) -> Lsn | Xid:
        """Return the writer's current position, in a form that readers can reach."""
        if await self._is_aurora(timeout):
            return Xid.parse((await self._fetch(_AURORA_WRITTEN, (), timeout))[0])
        lsn, timeline = await self._fetch(_WRITTEN, (), timeout)
        return Lsn.parse(lsn, int(timeline, 16)).normalized()

    async def progress(self, timeout: float | None) -> ReaderProgress:
        """Return this reader's positions and lag."""
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
    """Parse a reader's progress; a reader that the cluster's status does not list counts as stalled.

    ``received`` is START: a reader shares the writer's storage, and holds no log that the next writer might lack.
    """
    if not reads:
        return _NO_REPLICA
    seconds = math.inf if lag is None else lag
    return ReaderProgress(replays=True, position=Xid.parse(shown), received=START, lag=seconds)
