"""What MySQL and MariaDB servers have in common: their data directory, their process, and replication by GTID."""

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

_NEEDS_RESTART = 1238
_SERVER_IDS = 2**32 - 2


class MySQLFamilyServer(DatabaseServer, ABC):
    """A MySQL or MariaDB server of ours: initialised, configured, started, fenced, cloned and promoted by us alone.

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
        self._configured: dict[str, str] = {}
        self._in_force: dict[str, str] = {}

    def init(self, templates: Path) -> None:
        """Make the data directory: a copy of an initialised one, which costs a fraction of the initialisation.

        Args:
            templates: where initialised directories are kept for the next server.
        """
        template = initialised(templates.absolute(), self.installation, self.account, self._bootstrap)
        shutil.copytree(template, self.data, symlinks=True)

    def configure(self, settings: Mapping[str, str]) -> None:
        """Write the option file; :meth:`reload` or a start makes it count.

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
        draft = self.data / "candidate.cnf"
        write_whole(draft, text)
        try:
            self._validate(draft)
        finally:
            draft.unlink()
        write_whole(self.data / mysql_options.OPTION_FILE, text)
        self._configured = merged

    def start(self, timeout: float = 60.0) -> None:
        """Start the server and wait until it accepts logins; crash recovery included.

        Args:
            timeout: seconds.

        Raises:
            LocalError: it ended, or accepted no login in time; the message has the end of its log.
        """
        if self.alive:
            return
        processes.end_orphans(self.data)
        # A killed server may leave a file behind whose being there keeps MySQL from ever applying anything again.
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(mode=0o700)
        command = self._command(mysql_options.read_standby(self.data))
        configured = dict(self._configured)
        self._spawn(command, environment(), privilege.Identity())
        if not self._accepts_logins(timeout):
            self.kill()
            raise LocalError(f"{self._title} did not start on {self.address}: {self.log_excerpt()}")
        self._in_force = configured

    def stop(self, timeout: float = 30.0) -> None:
        """Stop the server cleanly; kill it if it does not end within ``timeout`` seconds."""
        self._end(signal.SIGTERM, timeout)

    def remove(self) -> None:
        """Delete the data directory, the temporary files and the log of a stopped server."""
        super().remove()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def reload(self) -> frozenset[str]:
        """Have the running server take over what was configured since its start.

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
        """The variables whose configured values are not in force yet."""
        wanted, present = self._configured, self._in_force
        return frozenset(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))

    def set_variables(self, values: Mapping[str, str | None]) -> frozenset[str]:
        """Set global variables of the running server; None is the variable's own default.

        Returns:
            The names that only a restart can change; they are left as they are.

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
        """Make the data directory a physical copy of a running server's; it will start as a standby.

        Args:
            source: a primary or a standby, which goes on working.
        """

    def follow(self, source: MySQLFamilyServer, *, acknowledge: bool = False) -> None:
        """Have this running server replicate from ``source``, from where it is, and refuse writes.

        Args:
            source: the server to replicate from.
            acknowledge: whether it tells the source of each transaction that it has received (semi-synchronous).
        """
        self._mark_standby(acknowledge=acknowledge, replicate=True)
        with self.connect() as session:
            session.execute("stop replica", timeout=30)
            self._refuse_writes(session)
            self._set(session, self.dialect.replica_acknowledges, on=acknowledge)
            self._set(session, self.dialect.source_waits, on=False)
            self._set_durability(session, mysql_options.FOLLOWER)
            self._point_at(session, source)
            session.execute(self.dialect.delay, self._replay_delay)  # 0 too: a server remembers the one it had
            session.execute("start replica")

    def delay_replay(self, seconds: float) -> None:
        """Apply each transaction so many whole seconds late, or at once again with 0; of a primary: once it follows."""
        self._replay_delay = math.ceil(seconds)
        if self.alive and self.is_standby:
            with self.connect() as session:
                session.execute("stop replica", timeout=30)
                session.execute(self.dialect.delay, self._replay_delay)
                session.execute("start replica")

    def promote(self, timeout: float = 30.0) -> None:
        """Make a standby the primary: it applies all that it has received, then accepts writes.

        Args:
            timeout: seconds for applying.

        Raises:
            LocalError: it could not apply everything in time; it stays a standby.
        """
        with self.connect() as session:
            session.execute("stop replica io_thread", timeout=timeout)
            if not self._apply_received(session, timeout):
                raise LocalError(
                    f"{self.installation.product} at {self.address} did not apply all that it has received within "
                    f"{timeout:g} s: {self.replication().error or 'wait, then promote again'}"
                )
            session.execute("stop replica")
            session.execute("reset replica all")
            self.promoted_at = self.position()
            (self.data / mysql_options.STANDBY_FILE).unlink(missing_ok=True)
            self._set(session, self.dialect.replica_acknowledges, on=False)
            # Its first own commit brings to disk whatever it has applied, as both logs are written in order.
            self._set_durability(session, {**self.dialect.defaults, **self._configured})
            self._accept_writes(session)

    def rejoin(
        self, source: Self, *, acknowledge: bool = False, timeout: float = 10.0
    ) -> Literal["followed", "cloned"]:
        """Bring a stopped former primary back as a standby of ``source``.

        Where its history is part of the source's it follows from where it is; where it has transactions that the
        source never received, or the source no longer has what it needs, it is cloned anew.

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
        """Whether each commit waits until a semi-synchronous standby has received it; without one it waits for ever."""
        with self.connect() as session:
            self._set(session, self.dialect.source_waits, on=on)

    def become_standby(self, *, acknowledge: bool = False) -> None:
        """Start as a standby next time, following nobody yet; ``acknowledge`` as in :meth:`follow`."""
        self._mark_standby(acknowledge=acknowledge, replicate=False)

    @abstractmethod
    def position(self) -> str:
        """The GTIDs that this server has committed, in its product's own notation."""

    @abstractmethod
    def wait_for_position(self, position: str, timeout: float) -> bool:
        """Wait until a replica has applied ``position``; whether it did so within ``timeout`` seconds."""

    def replication(self) -> ReplicationStatus:
        """How replication goes here."""
        with self.connect() as session:
            return self.replication_seen_by(session)

    def replication_seen_by(self, session: ServerSession) -> ReplicationStatus:
        """How replication goes here, by a session of this server."""
        return ReplicationStatus.read(session.record(REPLICATION_STATUS), self.dialect)

    @abstractmethod
    def received_position(self, session: ServerSession) -> str:
        """The GTIDs that this follower has received, applied or not; ``session`` is one of its own."""

    @abstractmethod
    def includes(self, session: ServerSession, position: str, part: str) -> bool:
        """Whether ``position`` has all that ``part`` has; ``session`` may be asked to compare them."""

    def connect(self, database: str | None = None, *, timeout: float = 5.0) -> MySQLSession:
        """Log in as the superuser; ``timeout`` in seconds."""
        return MySQLSession.open(self.address, self.account, database, timeout=timeout)

    @property
    def is_standby(self) -> bool:
        """Whether its data are a standby's; a promotion ends that."""
        return (self.data / mysql_options.STANDBY_FILE).exists()

    @abstractmethod
    def _bootstrap(self, data: Path) -> None:
        """Initialise an empty data directory whose only user is the account."""

    @abstractmethod
    def _validate(self, options: Path) -> None:
        """Have the server's program read an option file; raises LocalError where it complains."""

    @abstractmethod
    def _point_at(self, session: MySQLSession, source: MySQLFamilyServer) -> None:
        """Say where to replicate from, and from which position."""

    @abstractmethod
    def _apply_received(self, session: MySQLSession, timeout: float) -> bool:
        """Wait until everything received is applied; whether it was in time."""

    @abstractmethod
    def is_part_of(self, source: Self) -> bool:
        """Whether the source has every transaction of this server, in its own history."""

    @abstractmethod
    def _refuse_writes(self, session: MySQLSession) -> None:
        """Be read-only from now on."""

    @abstractmethod
    def _accept_writes(self, session: MySQLSession) -> None:
        """Be read-only no longer."""

    @property
    def _temporary(self) -> Path:
        return self.data.with_name(f"{self.data.name}.tmp")

    def _tls(self) -> dict[str, str]:
        """The options of its certificate, which is made where there is none yet."""
        # What is encrypted up to the endpoint goes on encrypted: REQUIRE SSL holds, and a password sent in the clear
        # under TLS stays so.
        files = LocalAuthority(self.data).issue(self.data, "rdskit", [self.address.host])
        return {"ssl_cert": str(files.certificate), "ssl_key": str(files.key)}

    def _replicates(self, timeout: float) -> bool:
        seen = [self.replication()]

        def decided() -> bool:
            seen.append(self.replication())
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
        # A copy still knows the source of its source: it must not begin to replicate by itself.
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
        # A new identity at each start: a server ignores what was written under its own, also when it is what this
        # very server has lost. The GTIDs and not the identities make the history.
        self.server_id = 1 + secrets.randbelow(_SERVER_IDS)
        return self._server_command(
            f"--defaults-file={self.data / mysql_options.OPTION_FILE}",
            f"--datadir={self.data}",
            f"--tmpdir={self._temporary}",
            f"--server-id={self.server_id}",
            *mysql_options.command_line(options),
        )

    def _server_command(self, first: str, *arguments: str) -> list[str]:
        # ``first`` names the option files, which the server wants to hear of before anything else.
        how = privilege.current()
        # Where there are no namespaces, root's servers run as root: another user could enter neither the cache nor,
        # often, the data directory. Only our own account has the FILE privilege.
        as_root = ("--user=root",) if how.user else ()
        server = self.installation.command(self.installation.server)
        return [*how.prefix, *server, first, *self.installation.options, *as_root, *arguments]

    def _run_program(self, program: str, *arguments: str) -> None:
        run_to_end([*privilege.current().prefix, *self.installation.command(program), *arguments])

    def _accepts_logins(self, timeout: float) -> bool:
        decided = poll(lambda: not self.alive or self._login_works(), timeout=timeout)
        return decided and self.alive

    def _login_works(self) -> bool:
        try:
            self.connect(timeout=1.0).close()
        except SessionLost:
            return False
        return True
