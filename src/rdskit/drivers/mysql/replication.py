"""Query how far a MySQL or MariaDB server has written or replayed, in as few round trips as its privileges allow.

Only ``SHOW REPLICA STATUS`` reports what a replica has received and how far it lags. It needs REPLICATION CLIENT
(MySQL; SLAVE MONITOR on MariaDB), which RDS's master user has. Without that privilege only the replica's own set of
transactions is known: its lag in seconds stays unknown and counts as 0.

A reader of Aurora MySQL is no replica in that sense. It shares the writer's storage, and has no binary log and no set
of transactions that follows the writer's. ``information_schema.replica_host_status`` reports its lag. Nothing reports
what its queries see (Aurora User Guide, "Aurora MySQL-specific information_schema tables"). The documented way to wait
for a write, ``aurora_replica_read_consistency``, needs write forwarding. So Aurora has no positions here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from rdskit.kernel.ports import DriverError, ReaderProgress
from rdskit.kernel.positions import START, GtidPosition, GtidSet, Position

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rdskit.drivers.mysql.session import Flavor
    from rdskit.kernel.ports import Row

    Ask = Callable[[str], Awaitable[Row | None]]

_ACCESS_DENIED: Final = 1227
_REPLICA_WORDS: Final = (8, 0, 22)  # MySQL says REPLICA and SOURCE since this version, before SLAVE and MASTER

# Null where the server assigns no GTIDs: the default of RDS for MySQL is gtid_mode OFF_PERMISSIVE.
_MYSQL_WRITTEN: Final = "select if(@@global.gtid_mode in ('ON', 'ON_PERMISSIVE'), @@global.gtid_executed, null)"
# Not ``select @@aurora_version``: on other servers that is an error.
_IS_AURORA: Final = "show global variables like 'aurora_version'"
_AURORA_PROGRESS: Final = """
select @@innodb_read_only,
       (select max(coalesce(replica_lag_in_milliseconds, 0)) / 1000 from information_schema.replica_host_status
        where server_id = @@aurora_server_id)
"""
_MARIADB_WRITTEN: Final = "select if(@@global.log_bin, @@global.gtid_current_pos, null)"


_NO_REPLICA: Final = ReaderProgress(replays=False, position=START, received=START, lag=0.0)


class PositionReader:
    """Query positions on one connection; the first query also finds out whether the server is Aurora."""

    def __init__(self, flavor: Flavor, ask: Ask) -> None:
        self._flavor = flavor
        self._ask = ask
        self._may_see_status = True
        self._aurora: bool | None = False if flavor.is_mariadb else None

    async def written(self) -> Position | None:
        """Return the last transaction that this server has; None if it assigns no GTIDs, or is Aurora.

        This is the server's position, not the session's last: it also covers what other connections wrote.
        """
        if await self._is_aurora():
            return None
        row = await self._ask(_MARIADB_WRITTEN if self._flavor.is_mariadb else _MYSQL_WRITTEN)
        text = row[0] if row is not None else None
        return None if text is None else self._parsed(text)

    async def progress(self) -> ReaderProgress:
        """Return this replica's positions and lag."""
        if await self._is_aurora():
            return await self._progress_on_aurora()
        status = await self._status() if self._may_see_status else None
        if self._may_see_status and status is None:
            return _NO_REPLICA
        if status is None:
            return await self._progress_without_status()
        position = await self._replayed(status)
        received = self._parsed(status.get("Retrieved_Gtid_Set") or status.get("Gtid_IO_Pos") or "")
        return ReaderProgress(replays=True, position=position, received=position.merge(received), lag=_lag(status))

    async def _is_aurora(self) -> bool:
        if self._aurora is None:
            self._aurora = await self._ask(_IS_AURORA) is not None
        return self._aurora

    async def _progress_on_aurora(self) -> ReaderProgress:
        """Return an Aurora reader's lag; a reader that the cluster's view does not list counts as stalled."""
        row = await self._ask(_AURORA_PROGRESS)
        assert row is not None
        if not row[0]:
            return _NO_REPLICA
        lag = math.inf if row[1] is None else float(row[1])
        return ReaderProgress(replays=True, position=START, received=START, lag=lag)

    async def _progress_without_status(self) -> ReaderProgress:
        name = "gtid_slave_pos" if self._flavor.is_mariadb else "gtid_executed"
        row = await self._ask(f"select @@global.read_only, @@global.{name}")
        assert row is not None
        position = self._parsed(row[1])
        return ReaderProgress(replays=bool(row[0]), position=position, received=position, lag=0.0)

    async def _status(self) -> Row | None:
        new = not self._flavor.is_mariadb and self._flavor.version >= _REPLICA_WORDS
        try:
            return await self._ask("show replica status" if new else "show slave status")
        except DriverError as error:
            if getattr(error.public, "errno", None) != _ACCESS_DENIED:
                raise
            self._may_see_status = False
            return None

    async def _replayed(self, status: Any) -> Position:
        if not self._flavor.is_mariadb:
            return GtidSet.parse(status["Executed_Gtid_Set"])
        row = await self._ask("select @@global.gtid_slave_pos")
        assert row is not None
        return GtidPosition.parse(row[0])

    def _parsed(self, text: str) -> Position:
        return GtidPosition.parse(text) if self._flavor.is_mariadb else GtidSet.parse(text)


def _lag(status: Any) -> float:
    seconds = status.get("Seconds_Behind_Source", status.get("Seconds_Behind_Master"))
    return math.inf if seconds is None else float(seconds)
