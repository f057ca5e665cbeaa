"""One server of an instance, and the connection by which it is watched."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING, Final

from rdskit.local.engines.addresses import free_port
from rdskit.local.engines.sql import Row, Session, SessionLost, StatementRefused
from rdskit.local.fleet.policy import Health

if TYPE_CHECKING:
    from rdskit.local.engines.postgres import PostgresServer
    from rdskit.local.fleet.store import NodeRecord

STANDBY: Final = "rdskit_standby"  # as the synchronous standby calls itself

PRIMARY_PROBE: Final = f"select coalesce(max(state), '') from pg_stat_replication where application_name = '{STANDBY}'"  # noqa: S608 - our own constant
FOLLOWER_PROBE: Final = """
    select coalesce((select status from pg_stat_wal_receiver), ''),
           case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
                else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) end
"""
_OPENING: Final = 1.0


class Node:
    """One server of an instance.

    Args:
        record: its name, address and zone.
        server: the server itself.

    Attributes:
        health: what the probes have shown; only the watch changes it.
        probed: the answer to the latest probe; empty before the first.
    """

    def __init__(self, record: NodeRecord, server: PostgresServer) -> None:
        self.record = record
        self.server = server
        self.health = Health()
        self.probed: Row = ()
        self._session: Session | None = None
        self._waiting = False
        self._forgiven = False
        self._lock = threading.Lock()

    def send_probe(self, sql: str) -> None:
        """Ask the server, unless it still owes an answer."""
        if not self.server.alive or self._waiting:
            return
        try:
            if self._session is None:
                self._session = self.server.connect(timeout=_OPENING)
            self._session.send(sql)
            self._waiting = True
        except SessionLost:
            self.hang_up()

    def judge(self, late: float) -> None:
        """Take the probe's answer in, if it is there; ``late`` as in :meth:`Health.after_probe`."""
        # A suspended parent process still has backends that answer, and no new client gets in.
        answered = self._take_answer() and not self.server.suspended
        with self._lock:
            if self._forgiven:
                self._forgiven = False
                self.hang_up()
            else:
                self.health = self.health.after_probe(alive=self.server.alive, answered=answered, late=late)

    def forgive(self) -> None:
        """Have the watch begin anew: the server was restarted on purpose. Called by any thread."""
        with self._lock:
            self._forgiven = True
            self.health = Health()
            self.probed = ()

    def hang_up(self) -> None:
        """Close the watch's connection; done by the watch's thread, or when that has ended."""
        if self._session is not None:
            self._session.close()
        self._session = None
        self._waiting = False

    def ensure_port(self) -> bool:
        """Whether the recorded address can still be had."""
        address = self.record.address
        return self.server.alive or free_port(address.host, address.port) is not None

    def discard(self) -> None:
        """Kill the server and delete its data."""
        self.server.kill()
        shutil.rmtree(self.server.data.parent, ignore_errors=True)

    def _take_answer(self) -> bool:
        if self._session is None or not self._waiting:
            return False
        try:
            if not self._session.answered():
                return False
            self.probed = self._session.receive()[0]
        except (SessionLost, StatementRefused):
            self.hang_up()
            return False
        self._waiting = False
        return True
