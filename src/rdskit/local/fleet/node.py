"""One server of an instance, and the connection by which it is watched."""

from __future__ import annotations

import shutil
import threading
import time
from typing import TYPE_CHECKING, Final

from rdskit.local.engines.addresses import free_port
from rdskit.local.engines.session import ServerSession, SessionLost, StatementRefused
from rdskit.local.fleet.policy import Health

if TYPE_CHECKING:
    from rdskit.local.fleet.engine import Probe, ProbeQuery, Server
    from rdskit.local.fleet.store import NodeRecord

_OPENING: Final = 1.0


class Node:
    """One server of an instance.

    Args:
        record: its name, address and zone.
        server: the server itself.

    Attributes:
        health: what the probes have shown; only the watch changes it.
        probed: what the latest probe has shown; None before the first.
        cut_off: no probe reaches it, on purpose; a restart ends that.
        answered_at: when it last answered a probe, of the monotonic clock.
        promotion_session: an open connection, of whoever may be promoted, for the first write after that.
    """

    def __init__(self, record: NodeRecord, server: Server) -> None:
        self.record = record
        self.server = server
        self.health = Health()
        self.probed: Probe | None = None
        self.cut_off = False
        self.answered_at = time.monotonic()
        self.promotion_session: ServerSession | None = None
        self._session: ServerSession | None = None
        self._waiting: ProbeQuery | None = None
        self._health_reset = False
        self._lock = threading.Lock()

    def send_probe(self, *, following: bool) -> None:
        """Ask the server as a follower or as a primary, unless it still owes an answer."""
        if not self.server.alive or self._waiting:
            return
        try:
            if self._session is None:
                self._session = self.server.connect(timeout=_OPENING)
            query = self.server.probe(following=following)
            self._session.send(query.sql)
            self._waiting = query
        except SessionLost:
            self.close_probe()

    def record_probe(self, late: float) -> None:
        """Take the probe's answer in, if it is there; ``late`` as in :meth:`Health.after_probe`."""
        # A suspended parent process still has backends that answer, and no new client gets in.
        answered = self._take_answer() and not self.server.suspended and not self.cut_off
        with self._lock:
            if answered:
                self.answered_at = time.monotonic()
            if self._health_reset:
                self._health_reset = False
                self.close_probe()
            else:
                self.health = self.health.after_probe(alive=self.server.alive, answered=answered, late=late)

    def reset_health(self) -> None:
        """Have the watch begin anew: the server was restarted on purpose. Called by any thread."""
        with self._lock:
            self._health_reset = True
            self.cut_off = False
            self.answered_at = time.monotonic()
            self.health = Health()
            self.probed = None

    def close_probe(self) -> None:
        """Close the watch's connection; done by the watch's thread, or when that has ended."""
        if self._session is not None:
            self._session.close()
        self._session = None
        self._waiting = None

    def open_promotion_session(self) -> ServerSession:
        """The connection for the first write; opened again if it was lost."""
        if self.promotion_session is not None and not self.promotion_session.answers(_OPENING):
            self.close_promotion_session()
        if self.promotion_session is None:
            self.promotion_session = self.server.open_writer()
        return self.promotion_session

    def close_promotion_session(self) -> None:
        """Close it."""
        if self.promotion_session is not None:
            self.promotion_session.close()
            self.promotion_session = None

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
            self.probed = self._waiting.read(self._session.receive_records())
        except (SessionLost, StatementRefused):
            self.close_probe()
            return False
        self._waiting = None
        return True
