"""Watch one server of an instance over a connection of its own."""

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

_OPENING: Final = 1.0  # seconds to connect or to answer; more would delay the probes of the other server


class Node:
    """One server of an instance, with the probe's view of it.

    Threads: the supervisor's thread alone calls :meth:`send_probe`, :meth:`record_probe` and :meth:`close_probe`. Any
    thread may call :meth:`reset_health`. The holder of the instance's lock opens and closes the promotion session.

    Args:
        record: its name, address and zone.
        server: the server itself.

    Attributes:
        health: result of the probes so far.
        probed: answer to the latest probe; None before the first.
        cut_off: a fault hides the server from probes; a restart ends that.
        answered_at: when it last answered a probe, on the monotonic clock.
        promotion_session: open connection to a standby, for the first write after its promotion.
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
        # Guards health, answered_at and _health_reset. Innermost lock: nothing else is acquired while it is held.
        self._lock = threading.Lock()

    def send_probe(self, *, following: bool) -> None:
        """Send the probe query of a follower or a primary, unless an earlier one is unanswered."""
        # At most one query is outstanding. A hung server keeps it pending, and each tick counts as another miss.
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
        """Read the probe's answer if it has arrived, and update the health.

        Args:
            late: seconds by which the supervisor's tick was late; see :meth:`Health.after_probe`.
        """
        # When only the parent process is suspended (SIGSTOP), existing backends still answer the probe, but the server
        # accepts no new client. That counts as a miss.
        answered = self._take_answer() and not self.server.suspended and not self.cut_off
        with self._lock:
            if answered:
                self.answered_at = time.monotonic()
            # This probe may have been sent before the restart that reset the health. Its result is about the old
            # process, so it is discarded and the next tick connects again.
            if self._health_reset:
                self._health_reset = False
                self.close_probe()
            else:
                self.health = self.health.after_probe(alive=self.server.alive, answered=answered, late=late)

    def reset_health(self) -> None:
        """Discard the probe results after a restart on purpose.

        Any thread may call this. The probe connection belongs to the supervisor's thread, which closes it at its next
        tick.
        """
        with self._lock:
            self._health_reset = True
            self.cut_off = False
            self.answered_at = time.monotonic()
            self.health = Health()
            self.probed = None

    def close_probe(self) -> None:
        """Close the probe connection. Only the supervisor's thread may call this while it runs."""
        if self._session is not None:
            self._session.close()
        self._session = None
        self._waiting = None

    def open_promotion_session(self) -> ServerSession:
        """Return the connection for the first write after a promotion; reopen it if it was lost.

        Raises:
            SessionLost: the server accepts no connection.
        """
        # Connecting takes tens of milliseconds and may fail while the server is busy promoting. A session that is
        # opened before the old primary is fenced keeps that out of the outage.
        if self.promotion_session is not None and not self.promotion_session.answers(_OPENING):
            self.close_promotion_session()
        if self.promotion_session is None:
            self.promotion_session = self.server.open_writer()
        return self.promotion_session

    def close_promotion_session(self) -> None:
        """Close the connection for the first write, if it is open."""
        if self.promotion_session is not None:
            self.promotion_session.close()
            self.promotion_session = None

    def ensure_port(self) -> bool:
        """Return whether the recorded address can still be bound, or the server already has it."""
        address = self.record.address
        return self.server.alive or free_port(address.host, address.port) is not None

    def discard(self) -> None:
        """Kill the server and delete its data."""
        self.server.kill()
        shutil.rmtree(self.server.data.parent, ignore_errors=True)

    def _take_answer(self) -> bool:
        """Return whether the outstanding probe has its answer, and store that answer."""
        if self._session is None or not self._waiting:
            return False
        try:
            if not self._session.answered():
                return False
            self.probed = self._waiting.read(self._session.receive_records())
        # A refused probe counts as a miss too: a server that cannot run it serves no client either.
        except (SessionLost, StatementRefused):
            self.close_probe()
            return False
        self._waiting = None
        return True
