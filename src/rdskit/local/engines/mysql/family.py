"""Manage what MySQL and MariaDB servers have in common: data directory, process, and replication by GTID."""

from __future__ import annotations

import logging
import math
import re
import secrets
import shutil
import signal
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from rdskit.errors import LocalError
from rdskit.local.certificates import LocalAuthority
from rdskit.local.engines import privilege, processes
from rdskit.local.engines.files import write_whole
from rdskit.local.engines.mysql import options as mysql_options
from rdskit.local.engines.mysql.model import Dialect, ReplicationStatus
from rdskit.local.engines.mysql.programs import environment, initialised, run_to_end
from rdskit.local.engines.mysql.sql import MySQLSession, ServerRefused
from rdskit.local.engines.server import DatabaseServer
from rdskit.local.engines.session import SessionLost
from rdskit.local.engines.waiting import poll

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.engines.mysql.installations import Installation
    from rdskit.local.engines.session import Account, ServerSession

_log = logging.getLogger(__name__)

_COMPLAINT = re.compile(r"\[ERROR\]|\[FATAL\]|got signal")
REPLICATION_STATUS = "show replica status"

_NEEDS_RESTART = 1238  # ER_INCORRECT_GLOBAL_LOCAL_VAR: the variable is read only
_SERVER_IDS = 2**32 - 2  # server_id is an unsigned 32-bit number, and 0 refuses all replicas


class MySQLFamilyServer(DatabaseServer, ABC):
    """MySQL or MariaDB server that only this class initializes, starts, fences, clones and promotes.

    A server whose data directory is marked as a standby's starts read-only and follows its source again.

    Args:
        data: its data directory; the log is beside it.
        address: where it listens.
        installation: the programs to run.
        account: its superuser, which also replicates.

    Attributes:
        promoted_at: its position at its last promotion, before its own first write.
        server_id: its identity in replication since its last start; 0 before the first.
    """

    dialect: ClassVar[Dialect]

    def __init__(self, data: Path, address: Endpoint, installation: Installation, account: Account) -> None:
        super().__init__(installation.product, data, address, account, _COMPLAINT)
        self.installation = installation
        self._replay_delay = 0
        self.promoted_at = ""
        self.server_id = 0
        # What the option file says, and what the running server uses. The server itself cannot report the difference.
        self._configured: dict[str, str] = {}
        self._in_force: dict[str, str] = {}

    def init(self, templates: Path) -> None:
        """Create the data directory as a copy of an initialized one, which takes a fraction of the initialization.

        Args:
            templates: where initialized directories are kept for the next server.
        """
        template = initialised(templates.absolute(), self.installation, self.account, self._bootstrap)
        shutil.copytree(template, self.data, symlinks=True)

    def configure(self, settings: Mapping[str, str]) -> None:
        """Write the option file. The server uses it after :meth:`reload` or a start.

        Args:
            settings: what differs from the defaults, all of it; names as in SQL.

        Raises:
            LocalError: the server refuses a name or a value; the old file stays.
        """
        merged = {
            **self.dialect.defaults,
            **self._tls(),
            **{mysql_options.canonical(name): value for name, value in settings.items()},
        }
        text = mysql_options.option_text(self.address, merged)
        # Validated by the server's own program first: an option that it refuses would keep it from starting at all.
        draft = self.data / "candidate.cnf"
        write_whole(draft, text)
        try:
            self._validate(draft)
        finally:
            draft.unlink()
        write_whole(self.data / mysql_options.OPTION_FILE, text)
        self._configured = merged

    def start(self, timeout: float = 60.0) -> None:
        """Start the server and wait until it accepts logins, including crash recovery.

        Args:
            timeout: seconds.

        Raises:
            LocalError: it ended, or accepted no login in time; the message has the end of its log.
        """
        if self.alive:
            return
        # A server that a crashed daemon left would hold the lock on the data directory.
        processes.end_orphans(self.data)
        # A killed server may leave temporary files. The applier of a MySQL replica stops for good at one that exists.
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(mode=0o700)
        command = self._command(mysql_options.read_standby(self.data))
        configured = dict(self._configured)
        self._spawn(command, environment(), privilege.Identity())
        if not self._accepts_logins(timeout):
            self.kill()
            raise LocalError(f"{self._title} did not start on {self.address}: {self.log_excerpt()}")
        # Copied before the start: a later configure() must show up as not in force yet.
        self._in_force = configured

    def stop(self, timeout: float = 30.0) -> None:
        """Stop the server cleanly; kill it if it does not end within ``timeout`` seconds."""
        self._end(signal.SIGTERM, timeout)

    def remove(self) -> None:
        """Delete the data directory, the temporary files and the log of a stopped server."""
        super().remove()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def reload(self) -> frozenset[str]:
        """Set the variables that were configured since the server's start.

        Returns:
            The names whose new values need a restart.

        Raises:
            ServerRefused: the server refuses a value.
        """
        wanted, present = self._configured, self._in_force
        changed = {name: value for name, value in wanted.items() if present.get(name) != value}
        dropped = present.keys() - wanted.keys()
        later = self.set_variables({**changed, **dict.fromkeys(dropped)})
        for name in (changed.keys() | dropped) - later:
            if name in wanted:
                present[name] = wanted[name]
            else:
                del present[name]
        return later

    def pending_restart(self) -> frozenset[str]:
        """Return the variables whose configured values are not in force yet."""
        wanted, present = self._configured, self._in_force
        return frozenset(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))

    def set_variables(self, values: Mapping[str, str | None]) -> frozenset[str]:
        """Set global variables of the running server; None stands for a variable's default.

        Returns:
            The names that only a restart can change; they keep their values.

        Raises:
            ServerRefused: the server refuses a value.
        """
        later = set()
        with self.connect() as session:
            for name, value in values.items():
                try:
                    session.execute(f"set global {mysql_options.variable(name)} = {mysql_options.expression(value)}")
                except ServerRefused as refusal:
                    if refusal.errno != _NEEDS_RESTART:
                        raise
                    later.add(name)
        return frozenset(later)

    @abstractmethod
    def clone(self, source: Self) -> None:
        """Copy a running server's data into the data directory, to start as a standby.

        Args:
            source: a primary or a standby, which goes on working.
        """

    def follow(self, source: MySQLFamilyServer, *, acknowledge: bool = False) -> None:
        """Make this running server replicate from ``source``, from its present position, and refuse writes.

        Args:
            source: the server to replicate from.
            acknowledge: acknowledge each received transaction to the source (semi-synchronous replication).
        """
        # On disk first: after a crash the server must not start as a second primary.
        self._mark_standby(acknowledge=acknowledge, replicate=True)
        with self.connect() as session:
            session.execute("stop replica", timeout=30)
            # Before the channel starts: a write of its own would make its GTID history differ from the source's.
            self._refuse_writes(session)
            # Set while the receiver is stopped: a replica announces only when it connects whether it acknowledges.
            self._set(session, self.dialect.replica_acknowledges, on=acknowledge)
            self._set(session, self.dialect.source_waits, on=False)
            self._set_durability(session, mysql_options.FOLLOWER)
            self._point_at(session, source)
            # 0 as well: the server stores its last delay and would keep it.
            session.execute(self.dialect.delay, self._replay_delay)
            session.execute("start replica")

    def delay_replay(self, seconds: float) -> None:
        """Apply each transaction some seconds late, rounded up; 0 ends the delay.

        A primary applies the delay once it follows.
        """
        self._replay_delay = math.ceil(seconds)
        if self.alive and self.is_standby:
            with self.connect() as session:
                session.execute("stop replica", timeout=30)
                session.execute(self.dialect.delay, self._replay_delay)
                session.execute("start replica")

    def promote(self, timeout: float = 30.0) -> None:
        """Make a standby the primary: apply everything received, then accept writes.

        Args:
            timeout: seconds for applying.

        Raises:
            LocalError: it could not apply everything in time; it stays a standby.
        """
        with self.connect() as session:
            # The receiver stops first, so that the set of received transactions is final before it is applied.
            session.execute("stop replica io_thread", timeout=timeout)
            if not self._apply_received(session, timeout):
                raise LocalError(
                    f"{self.installation.product} at {self.address} did not apply all that it has received within "
                    f"{timeout:g} s: {self.replication().error or 'wait, then promote again'}"
                )
            # RESET needs a stopped channel. ALL also forgets the source, so that a restart does not follow it again.
            session.execute("stop replica")
            session.execute("reset replica all")
            # Before the server accepts writes, so that had() compares replicas with what it had as a standby.
            self.promoted_at = self.position()
            (self.data / mysql_options.STANDBY_FILE).unlink(missing_ok=True)
            self._set(session, self.dialect.replica_acknowledges, on=False)
            # As a follower it synced its logs rarely. Its first own commit syncs everything that it has applied,
            # because both logs are written in order.
            self._set_durability(session, {**self.dialect.defaults, **self._configured})
            # Last: until here the server is read-only, and nothing can be written under a follower's durability.
            self._accept_writes(session)

    def rejoin(
        self, source: Self, *, acknowledge: bool = False, timeout: float = 10.0
    ) -> Literal["followed", "cloned"]:
        """Bring a stopped former primary back as a standby of ``source``.

        If its history is part of the source's, it follows from its position. If it has transactions that the source
        never received, or the source no longer has what it needs, it is cloned again.

        Args:
            source: the running server whose history counts.
            acknowledge: as in :meth:`follow`.
            timeout: seconds in which replication must have begun.

        Returns:
            Which of the two was done.
        """
        self.become_standby(acknowledge=True)
        self.start()
        if self.is_part_of(source):
            self.follow(source, acknowledge=acknowledge)
            if self._replicates(timeout):
                return "followed"
        self._clone_again(source)
        self.follow(source, acknowledge=acknowledge)
        return "cloned"

    def require_acknowledgement(self, *, on: bool) -> None:
        """Configure whether each commit waits until a semi-synchronous standby has received it.

        Without a standby such a commit waits without end.
        """
        with self.connect() as session:
            self._set(session, self.dialect.source_waits, on=on)

    def become_standby(self, *, acknowledge: bool = False) -> None:
        """Mark the data directory so that the server starts as a standby without a source; see :meth:`follow`."""
        self._mark_standby(acknowledge=acknowledge, replicate=False)

    @abstractmethod
    def position(self) -> str:
        """Return the GTIDs that this server has committed, in its product's own notation."""

    @abstractmethod
    def wait_for_position(self, position: str, timeout: float) -> bool:
        """Return whether a replica applied ``position`` within ``timeout`` seconds."""

    def replication(self) -> ReplicationStatus:
        """Return the status of replication on this server."""
        with self.connect() as session:
            return self.replication_seen_by(session)

    def replication_seen_by(self, session: ServerSession) -> ReplicationStatus:
        """Return the status of replication, queried on a session of this server."""
        return ReplicationStatus.read(session.record(REPLICATION_STATUS), self.dialect)

    @abstractmethod
    def received_position(self, session: ServerSession) -> str:
        """Return the GTIDs that this follower has received, applied or not; ``session`` is one of its own."""

    @abstractmethod
    def includes(self, session: ServerSession, position: str, part: str) -> bool:
        """Return whether ``position`` has all of ``part``; the server of ``session`` may compare them."""

    def connect(self, database: str | None = None, *, timeout: float = 5.0) -> MySQLSession:
        """Log in as the superuser; ``timeout`` in seconds."""
        return MySQLSession.open(self.address, self.account, database, timeout=timeout)

    @property
    def is_standby(self) -> bool:
        """Whether its data are a standby's; a promotion ends that."""
        return (self.data / mysql_options.STANDBY_FILE).exists()

    @abstractmethod
    def _bootstrap(self, data: Path) -> None:
        """Initialize an empty data directory whose only user is the account."""

    @abstractmethod
    def _validate(self, options: Path) -> None:
        """Validate an option file with the server's program; raises LocalError if it is refused."""

    @abstractmethod
    def _point_at(self, session: MySQLSession, source: MySQLFamilyServer) -> None:
        """Set the source to replicate from, and the position."""

    @abstractmethod
    def _apply_received(self, session: MySQLSession, timeout: float) -> bool:
        """Return whether everything received was applied in time."""

    @abstractmethod
    def is_part_of(self, source: Self) -> bool:
        """Return whether the source has every transaction of this server in its own history."""

    @abstractmethod
    def _refuse_writes(self, session: MySQLSession) -> None:
        """Make the server read-only, for its superuser as well where the product can."""

    @abstractmethod
    def _accept_writes(self, session: MySQLSession) -> None:
        """End the read-only state of the server."""

    @property
    def _temporary(self) -> Path:
        return self.data.with_name(f"{self.data.name}.tmp")

    def _tls(self) -> dict[str, str]:
        """Return the options of its certificate, which is issued if there is none."""
        # The endpoint uses TLS to the server for sessions that are encrypted up to the endpoint. So accounts with
        # REQUIRE SSL work, and a password that a client sends in clear text inside TLS stays encrypted.
        files = LocalAuthority(self.data).issue(self.data, "rdskit", [self.address.host])
        return {"ssl_cert": str(files.certificate), "ssl_key": str(files.key)}

    def _replicates(self, timeout: float) -> bool:
        seen = [self.replication()]

        def decided() -> bool:
            seen.append(self.replication())
            # A receiver that is still connecting is neither. Last_IO_Error alone does not mean that it has given up.
            return seen[-1].broken or seen[-1].healthy

        poll(decided, timeout=timeout)
        if not seen[-1].healthy:
            _log.warning("%s at %s cannot follow: %s", self.installation.product, self.address, seen[-1])
        return seen[-1].healthy

    def _clone_again(self, source: Self) -> None:
        options = (self.data / mysql_options.OPTION_FILE).read_text(encoding="utf-8")
        self.kill()
        shutil.rmtree(self.data)
        self.clone(source)
        self._tls()
        write_whole(self.data / mysql_options.OPTION_FILE, options)
        self.start()

    def _mark_standby(self, *, acknowledge: bool, replicate: bool) -> None:
        # A copy of a replica has that replica's channel. It must not start to replicate from there by itself.
        """Write the options with which the server starts as a standby."""
        own = {
            self.dialect.replica_acknowledges: mysql_options.switch(acknowledge),
            self.dialect.skip_start: mysql_options.switch(not replicate),
        }
        mysql_options.write_standby(self.data, {**mysql_options.FOLLOWER, **self.dialect.standby, **own})

    def _set(self, session: MySQLSession, variable: str, *, on: bool) -> None:
        session.execute(f"set global {variable} = {mysql_options.switch(on)}")

    def _set_durability(self, session: MySQLSession, values: Mapping[str, str]) -> None:
        for name in mysql_options.FOLLOWER:
            session.execute(f"set global {name} = {mysql_options.expression(values[name])}")

    def _command(self, options: Mapping[str, str]) -> list[str]:
        # A new server_id at each start. A replica skips events with its own server_id, to break loops. After a crash
        # that lost its last transactions, a former primary must accept them back from the new one. GTIDs identify the
        # transactions, so the server_id is free to change.
        self.server_id = 1 + secrets.randbelow(_SERVER_IDS)
        return self._server_command(
            f"--defaults-file={self.data / mysql_options.OPTION_FILE}",
            f"--datadir={self.data}",
            f"--tmpdir={self._temporary}",
            f"--server-id={self.server_id}",
            *mysql_options.command_line(options),
        )

    def _server_command(self, first: str, *arguments: str) -> list[str]:
        # ``first`` names the option files. The server accepts that option only as its first.
        how = privilege.current()
        # Without namespaces, root's servers run as root. Another user could enter neither the cache nor, often, the
        # data directory. This is acceptable because only the fleet's own account has the FILE privilege.
        as_root = ("--user=root",) if how.user else ()
        server = self.installation.command(self.installation.server)
        return [*how.prefix, *server, first, *self.installation.options, *as_root, *arguments]

    def _run_program(self, program: str, *arguments: str) -> None:
        run_to_end([*privilege.current().prefix, *self.installation.command(program), *arguments])

    def _accepts_logins(self, timeout: float) -> bool:
        decided = poll(lambda: not self.alive or self._login_works(), timeout=timeout)
        return decided and self.alive

    def _login_works(self) -> bool:
        """Return whether the superuser can log in now."""
        try:
            self.connect(timeout=1.0).close()
        except SessionLost:
            return False
        return True
