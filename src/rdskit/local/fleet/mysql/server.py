"""Run one MySQL or MariaDB server of an instance: GTID replication, semi-synchronous where the fleet requires it.

A source waits after it has written a transaction to its binary log and before other sessions can see it (AFTER_SYNC).
It has no time-out for that: only the fleet decides that commits go on without the standby.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, Self

from rdskit.errors import LocalError
from rdskit.local.engines.mysql.family import REPLICATION_STATUS, MySQLFamilyServer
from rdskit.local.engines.mysql.mariadb import MariaDBServer, native_password_hash
from rdskit.local.engines.mysql.model import ReplicationStatus
from rdskit.local.engines.mysql.mysql import MySQLServer
from rdskit.local.engines.mysql.sql import ServerRefused
from rdskit.local.engines.session import Record, SessionLost, StatementRefused
from rdskit.local.engines.waiting import poll
from rdskit.local.fleet.engine import Probe, ProbeQuery
from rdskit.local.fleet.mysql import roles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rdskit.local.engines.session import ServerSession
    from rdskit.local.fleet.engine import Upstream
    from rdskit.local.fleet.model import InstanceSpec

_READ_ONLY: Final = (1290, 1836)  # ER_OPTION_PREVENTS_STATEMENT (--read-only), ER_READ_ONLY_MODE
_POLL_INTERVAL: Final = 0.005
# Seconds. With AFTER_SYNC a follower may apply a transaction before its source has committed it, as the source still
# waits for the standby. For that time the follower seems to have more than its source.
_COMMIT_IN_FLIGHT: Final = 2.0


class FamilyMember(MySQLFamilyServer):
    """MySQL or MariaDB server as part of an instance; arguments as of its parent."""

    _acknowledged_before = 0
    _has_roles = True

    @property
    def version(self) -> str:
        """Version as the server prints it."""
        return self.installation.version

    @property
    def socket(self) -> str:
        """Empty: the endpoint logs an IAM user in with an internal password."""
        return ""

    def configure(self, settings: Mapping[str, str], upstream: Upstream | None = None) -> None:  # noqa: ARG002
        """Write the option file. It is the same for followers and primaries, because roles are set in SQL."""
        super().configure(settings)

    def apply(self) -> None:
        """Set the variables that can change while the server runs."""
        # A server that is just starting refuses the connection. It reads the new option file by itself.
        with contextlib.suppress(SessionLost):
            self.reload()

    def rewind(self, source: Self) -> None:  # noqa: ARG002 - stream() compares the histories
        """Prepare a stopped former primary to start as a follower.

        Unlike pg_rewind this checks nothing: stream() finds out whether the history fits.
        """
        self.become_standby(acknowledge=True)

    def stream(self, upstream: Upstream) -> None:
        """Follow the upstream, unless this server has transactions that the source never had."""
        source = upstream.server
        assert isinstance(source, type(self)), "an instance and its replicas have one engine"
        if self.alive:
            self.reload()
        else:
            # The mark makes it start read-only. MariaDB also removes, at such a start, prepared transactions that no
            # standby acknowledged.
            self.become_standby(acknowledge=upstream.synchronous)
            self.start()
        if source.alive and not poll(lambda: self.is_part_of(source), timeout=_COMMIT_IN_FLIGHT, interval=0.05):
            raise LocalError(f"{self.address} has transactions that {source.address} never had")
        self.follow(source, acknowledge=upstream.synchronous)

    def streams(self, session: ServerSession) -> bool:
        """Return whether it receives changes and applies them."""
        return self.replication_seen_by(session).healthy

    def has_received(self, session: ServerSession, position: str) -> bool:
        """Return whether everything up to a position is in its relay log or applied."""
        # The relay log counts: a promotion applies everything received before it accepts writes.
        return self.includes(session, self.received_position(session), position)

    def require_acknowledgement(self, *, on: bool) -> None:
        """Configure whether each commit waits for the standby. A dead server starts without waiting."""
        if not self.alive:
            return
        if on:
            with self.connect() as session:
                # Counted before the switch, so that commits_wait() never sees an acknowledgement from before it.
                self._acknowledged_before = self._acknowledged(session)
        super().require_acknowledgement(on=on)

    def commits_wait(self, session: ServerSession) -> bool:
        """Return whether a commit has been acknowledged since waiting was switched on.

        An acknowledgement covers the binary log up to its commit, so everything before that commit is safe as well.
        """
        return self._acknowledged(session) > self._acknowledged_before

    def received(self, timeout: float) -> str | None:
        """Return what it has received, once it receives nothing more; None if it does not answer in time."""
        try:
            with self.connect(timeout=1.0) as session:
                # The receiver may still be writing what the old primary sent last. Its status changes only when it
                # notices the end.
                if not poll(
                    lambda: not self.replication_seen_by(session).receiving, timeout=timeout, interval=_POLL_INTERVAL
                ):
                    return None
                return self.received_position(session)
        except (SessionLost, StatementRefused):
            return None

    def had(self, position: str) -> bool:
        """Return whether it had everything up to a position before its own first write as a primary."""
        with self.connect() as session:
            return self.includes(session, self.promoted_at, position)

    def probe(self, *, following: bool) -> ProbeQuery:
        """Return the query that probes a follower or a primary."""
        if following:
            return ProbeQuery(REPLICATION_STATUS, self._read_follower)
        return ProbeQuery(f"show global status like '{self.dialect.source_status}clients'", _read_primary)

    def set_up(self, spec: InstanceSpec) -> None:
        """Create the users and databases of a new RDS instance on a fresh server."""
        with self.connect() as session:
            identified = self._identified(session, spec.master_password)
            roles.set_up(session, spec, identified, with_role=self._has_roles)

    def set_password(self, user: str, password: str) -> None:
        """Change a user's password."""
        with self.connect() as session:
            session.execute(f"alter user {roles.user(session, user)} {self._identified(session, password)}")

    def open_writer(self, *, timeout: float = 5.0) -> ServerSession:
        """Open a session of the superuser."""
        return self.connect(timeout=timeout)

    def heartbeat(self, session: ServerSession, *, timeout: float) -> bool:
        """Commit the smallest durable write; return False while the server refuses writes."""
        try:
            session.execute(roles.HEARTBEAT, timeout=timeout)
        except ServerRefused as error:
            if error.errno not in _READ_ONLY:
                raise
            return False
        return True

    def _identified(self, session: ServerSession, password: str) -> str:
        """Return the clause that gives a user a password.

        MySQL stores only the hash, and writes only the hash to its binary log.
        """
        return f"identified by {session.literal(password)}"

    def _acknowledged(self, session: ServerSession) -> int:
        """Return the number of commits that a standby has acknowledged."""
        status = session.record(f"show global status like '{self.dialect.source_status}yes_tx'")
        return int(status["Value"] or 0)

    def _read_follower(self, rows: Sequence[Record]) -> Probe:
        seen = ReplicationStatus.read(rows[0] if rows else {}, self.dialect)
        return Probe(seen.healthy, seen.lag)


def _read_primary(rows: Sequence[Record]) -> Probe:
    return Probe(bool(rows) and rows[0]["Value"] != "0")


class MySQLMember(FamilyMember, MySQLServer):
    """MySQL server as part of an instance."""


class MariaDBMember(FamilyMember, MariaDBServer):
    """MariaDB server as part of an instance."""

    _has_roles = False

    def _identified(self, session: ServerSession, password: str) -> str:
        """Return the clause with the password's hash. MariaDB writes the statement to its binary log as it is."""
        return f"identified by password {session.literal(native_password_hash(password))}"
