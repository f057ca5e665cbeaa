"""One MySQL or MariaDB server of an instance: replication by GTID, semi-synchronous where the fleet asks for it.

A source waits after it has written a transaction to its binary log and before anybody sees it (AFTER_SYNC), for as long
as it takes: only the fleet decides that it goes on alone.
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

_READ_ONLY: Final = (1290, 1836)
_POLL_INTERVAL: Final = 0.005
# A follower may apply a transaction before its source, which waits for the standby, has committed it.
_COMMIT_IN_FLIGHT: Final = 2.0


class FamilyMember(MySQLFamilyServer):
    """A MySQL or MariaDB server as part of an instance; arguments as of its parent."""

    _acknowledged_before = 0
    _has_roles = True

    @property
    def version(self) -> str:
        """As the server prints it."""
        return self.installation.version

    @property
    def socket(self) -> str:
        """None: an IAM user comes in with the internal password."""
        return ""

    def configure(self, settings: Mapping[str, str], upstream: Upstream | None = None) -> None:  # noqa: ARG002
        """Write the option file, which is the same for a follower and for a primary: roles are told in SQL."""
        super().configure(settings)

    def apply(self) -> None:
        """Set the variables that can be set while the server runs; one that is just starting reads them by itself."""
        with contextlib.suppress(SessionLost):
            self.reload()

    def rewind(self, source: Self) -> None:  # noqa: ARG002 - what its history lacks or has too much, stream() finds out
        """Have a stopped former primary start as a follower."""
        self.become_standby(acknowledge=True)

    def stream(self, upstream: Upstream) -> None:
        """Follow, unless this server has transactions that the source never had."""
        source = upstream.server
        assert isinstance(source, type(self)), "an instance and its replicas have one engine"
        if self.alive:
            self.reload()
        else:
            self.become_standby(acknowledge=upstream.synchronous)
            self.start()
        if source.alive and not poll(lambda: self.is_part_of(source), timeout=_COMMIT_IN_FLIGHT, interval=0.05):
            raise LocalError(f"{self.address} has transactions that {source.address} never had")
        self.follow(source, acknowledge=upstream.synchronous)

    def streams(self, session: ServerSession) -> bool:
        """Whether it receives, and applies."""
        return self.replication_seen_by(session).healthy

    def has_received(self, session: ServerSession, position: str) -> bool:
        """Whether everything up to a position is in its relay log or applied."""
        return self.includes(session, self.received_position(session), position)

    def require_acknowledgement(self, *, on: bool) -> None:
        """Have each commit wait for the standby, or no more; a dead server starts without."""
        if not self.alive:
            return
        if on:
            with self.connect() as session:
                self._acknowledged_before = self._acknowledged(session)
        super().require_acknowledgement(on=on)

    def commits_wait(self, session: ServerSession) -> bool:
        """Whether a commit has been acknowledged since the server was told to wait.

        An acknowledgement covers the binary log up to its commit, so everything before that one is safe as well.
        """
        return self._acknowledged(session) > self._acknowledged_before

    def received(self, timeout: float) -> str | None:
        """What it has received, once it receives nothing more."""
        try:
            with self.connect(timeout=1.0) as session:
                if not poll(
                    lambda: not self.replication_seen_by(session).receiving, timeout=timeout, interval=_POLL_INTERVAL
                ):
                    return None
                return self.received_position(session)
        except (SessionLost, StatementRefused):
            return None

    def had(self, position: str) -> bool:
        """Whether it had everything up to a position before its own first write as a primary."""
        with self.connect() as session:
            return self.includes(session, self.promoted_at, position)

    def probe(self, *, following: bool) -> ProbeQuery:
        """How to look at it."""
        if following:
            return ProbeQuery(REPLICATION_STATUS, self._read_follower)
        return ProbeQuery(f"show global status like '{self.dialect.source_status}clients'", _read_primary)

    def set_up(self, spec: InstanceSpec) -> None:
        """Give a fresh server the users and databases of a new RDS instance."""
        with self.connect() as session:
            identified = self._identified(session, spec.master_password)
            roles.set_up(session, spec, identified, with_role=self._has_roles)

    def set_password(self, user: str, password: str) -> None:
        """Change a user's password."""
        with self.connect() as session:
            session.execute(f"alter user {roles.user(session, user)} {self._identified(session, password)}")

    def open_writer(self, *, timeout: float = 5.0) -> ServerSession:
        """A session of the superuser."""
        return self.connect(timeout=timeout)

    def heartbeat(self, session: ServerSession, *, timeout: float) -> bool:
        """The smallest durable write; False while the server refuses writes."""
        try:
            session.execute(roles.HEARTBEAT, timeout=timeout)
        except ServerRefused as error:
            if error.errno not in _READ_ONLY:
                raise
            return False
        return True

    def _identified(self, session: ServerSession, password: str) -> str:
        """The clause that gives a user a password; the server keeps its hash alone, in its binary log too."""
        return f"identified by {session.literal(password)}"

    def _acknowledged(self, session: ServerSession) -> int:
        """How many commits a standby has acknowledged."""
        status = session.record(f"show global status like '{self.dialect.source_status}yes_tx'")
        return int(status["Value"] or 0)

    def _read_follower(self, rows: Sequence[Record]) -> Probe:
        seen = ReplicationStatus.read(rows[0] if rows else {}, self.dialect)
        return Probe(seen.healthy, seen.lag)


def _read_primary(rows: Sequence[Record]) -> Probe:
    return Probe(bool(rows) and rows[0]["Value"] != "0")


class MySQLMember(FamilyMember, MySQLServer):
    """A MySQL server as part of an instance."""


class MariaDBMember(FamilyMember, MariaDBServer):
    """A MariaDB server as part of an instance."""

    _has_roles = False

    def _identified(self, session: ServerSession, password: str) -> str:
        """By its hash: MariaDB writes such statements to its binary log as they are."""
        return f"identified by password {session.literal(native_password_hash(password))}"
