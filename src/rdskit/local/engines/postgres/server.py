"""Manage one PostgreSQL server: its data directory and its process."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, ClassVar, Literal

from rdskit.errors import LocalError
from rdskit.local.engines import privilege, processes
from rdskit.local.engines.files import write_whole
from rdskit.local.engines.postgres import configuration
from rdskit.local.engines.postgres.sql import PostgresSession
from rdskit.local.engines.server import DatabaseServer
from rdskit.local.engines.session import Account, SessionLost
from rdskit.local.engines.waiting import poll

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.engines.postgres.providers import Binaries

StopMode = Literal["smart", "fast", "immediate"]

_STOP_SIGNALS: Mapping[StopMode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
# Line 8 of postmaster.pid, LOCK_FILE_LINE_PM_STATUS in PostgreSQL's pidfile.h: starting, stopping, ready or standby.
_ACCEPTS_LOGINS = ("ready", "standby")
_STATUS_LINE = 7
_COMPLAINT = re.compile(r":(ERROR|FATAL|PANIC|HINT):  ")
_CHECKPOINT = 60.0
_STANDBY_SIGNAL = "standby.signal"


class PostgresServer(DatabaseServer):
    """PostgreSQL server that only this class initializes, configures, starts, fences, clones and promotes.

    Args:
        data: its data directory; the log is beside it.
        address: where it listens.
        binaries: the programs to run.
        account: its superuser, which also replicates.

    Attributes:
        sockets: directory of its private Unix socket, on which members of ``rds_iam`` log in without a password.
        session_settings: options of the sessions that :meth:`connect` opens.
    """

    session_settings: ClassVar[str] = ""

    def __init__(self, data: Path, address: Endpoint, binaries: Binaries, account: Account) -> None:
        super().__init__("PostgreSQL", data, address, account, _COMPLAINT)
        self.binaries = binaries
        self.sockets = self.data.with_name(f"{self.data.name}.sockets")
        self._privilege = privilege.current()

    def init(self, templates: Path) -> None:
        """Create the data directory as a copy of an initialized one, which takes a third of the time of ``initdb``.

        Args:
            templates: where initialized directories are kept for the next server.
        """
        template = _template(templates, self.binaries, self.account)
        shutil.copytree(template, self.data, symlinks=True)
        configuration.write_access(self.data, self.account)
        self._privilege.own(self.data.parent)

    def configure(self, settings: Mapping[str, str]) -> None:
        """Write the configuration. The server uses it after :meth:`reload` or a start.

        Args:
            settings: what differs from the defaults, all of it.

        Raises:
            LocalError: PostgreSQL refuses a name or a value; the old configuration stays.
        """
        text = configuration.settings_text(self.address, f"../{self.sockets.name}", settings)
        # ``postgres -C`` reads the whole file and exits. An invalid value in postgresql.conf would keep the server
        # from its next start.
        draft = self.data / "candidate.conf"
        write_whole(draft, text)
        self._privilege.own(draft)
        try:
            self._run("postgres", "-C", "port", "-D", str(self.data), "-c", f"config_file={draft}")
        finally:
            draft.unlink()
        target = self.data / "postgresql.conf"
        write_whole(target, text)
        self._privilege.own(target)

    def start(self, timeout: float = 30.0) -> None:
        """Start the server and wait until it accepts logins, including crash recovery.

        Args:
            timeout: seconds.

        Raises:
            LocalError: it ended, or accepted no login in time; the message has the end of its log.
        """
        if self.alive:
            return
        # A server that a crashed daemon left would still write to these data.
        processes.end_orphans(self.data)
        # No server runs here now, so the lock file is stale. PostgreSQL refuses to start if its pid exists, and by
        # now that may be a zombie of ours or another process.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self._make_sockets()
        self._privilege.own(self.data)
        command = [*self._privilege.prefix, self.binaries.program("postgres"), "-D", str(self.data)]
        self._spawn(command, _environment(), self._privilege.identity)
        ready = poll(lambda: not self.alive or self._accepts_logins(), timeout=timeout)
        if not ready or not self.alive:
            self.kill()
            raise LocalError(f"PostgreSQL in {self.data} did not start on {self.address}: {self.log_excerpt()}")

    def stop(self, mode: StopMode = "fast", timeout: float = 30.0) -> None:
        """Stop the server cleanly; kill it if it does not end within ``timeout`` seconds."""
        # "smart" waits for clients, "fast" disconnects them, "immediate" skips the checkpoint and recovers at the next
        # start.
        self._end(_STOP_SIGNALS[mode], timeout)

    def reload(self) -> None:
        """Make the running server read its configuration again."""
        self._running.send_signal(signal.SIGHUP)

    def promote(self) -> None:
        """Request that a standby becomes a primary; it accepts writes some milliseconds later."""
        # As ``pg_ctl promote`` does, without the process that it would take: a file, then SIGUSR1 to the postmaster.
        trigger = self.data / "promote"
        trigger.touch(mode=0o600)
        self._privilege.own(trigger)
        self._running.send_signal(signal.SIGUSR1)

    def clone(self, source: PostgresServer) -> None:
        """Copy a running server physically into the data directory, to start as a standby.

        Args:
            source: a primary or a standby.
        """
        self._privilege.own(self.data.parent)
        # Without syncing it takes half the time. If the machine crashes, the copy may be incomplete; then the server
        # does not start, and the copy is repeated.
        self._run(
            *("pg_basebackup", "-D", str(self.data), "-X", "stream", "-c", "fast", "--no-sync", "--no-password"),
            *("-h", source.address.host, "-p", str(source.address.port), "-U", source.account.user),
            account=source.account,
        )
        configuration.write_access(self.data, self.account)
        self.become_standby()

    def rewind(self, source: PostgresServer) -> None:
        """Bring a stopped server whose history has diverged from ``source`` back to it, to start as a standby.

        Args:
            source: the running server whose history counts.

        Raises:
            LocalError: the histories cannot be joined, for instance because WAL is missing: clone instead.
        """
        # pg_rewind of releases up to 16 reads the source's timeline from its last checkpoint. Just after a promotion
        # that is still the old timeline, and pg_rewind would find nothing to do.
        source.checkpoint()
        self._run(
            *("pg_rewind", "--target-pgdata", str(self.data), "--no-sync", "--source-server"),
            f"host={source.address.host} port={source.address.port} user={source.account.user} dbname=postgres",
            account=source.account,
        )
        # The rewound server becomes consistent only when it has received all WAL that the source had written. An idle
        # source keeps its last bytes unflushed, and a standby gets only flushed WAL.
        source.checkpoint()
        # pg_rewind has copied the source's files, including its password file.
        configuration.write_access(self.data, self.account)
        self.become_standby()

    def checkpoint(self) -> None:
        """Make the running server flush everything to disk."""
        with self.connect() as session:
            session.execute("checkpoint", timeout=_CHECKPOINT)

    def become_standby(self) -> None:
        """Mark the data directory so that the server starts as a standby."""
        (self.data / _STANDBY_SIGNAL).touch(mode=0o600)
        self._privilege.own(self.data)

    def connect(self, database: str = "postgres", *, timeout: float = 5.0) -> PostgresSession:
        """Log in as the superuser; ``timeout`` in seconds."""
        return PostgresSession.open(
            self.address, self.account, database, timeout=timeout, settings=self.session_settings
        )

    def remove(self) -> None:
        """Delete the data directory, the sockets and the log of a stopped server."""
        super().remove()
        shutil.rmtree(self.sockets, ignore_errors=True)

    @property
    def is_standby(self) -> bool:
        """Whether its data are a standby's; a promotion ends that."""
        return (self.data / _STANDBY_SIGNAL).exists()

    def _make_sockets(self) -> None:
        # A killed server leaves its socket and a lock file for it. The lock's pid may belong to another process by now.
        shutil.rmtree(self.sockets, ignore_errors=True)
        self.sockets.mkdir(mode=0o700)
        self._privilege.own(self.sockets)

    def _accepts_logins(self) -> bool:
        # Line 1 must be the pid of our child. In a user namespace the pid is the same, as only users are mapped.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        if len(lines) <= _STATUS_LINE or lines[0].strip() != str(self.pid):
            return False
        # A login as well: only that shows that clients can connect.
        return lines[_STATUS_LINE].strip() in _ACCEPTS_LOGINS and self._login_works()

    def _login_works(self) -> bool:
        try:
            self.connect(timeout=1.0).close()
        except SessionLost:
            return False
        return True

    def _run(self, program: str, *arguments: str, account: Account | None = None) -> None:
        run_program(self.binaries, program, arguments, account=account)


def run_program(
    binaries: Binaries,
    program: str,
    arguments: Sequence[str],
    *,
    account: Account | None = None,
    timeout: float = 300.0,
) -> None:
    """Run one of PostgreSQL's programs to its end.

    Args:
        binaries: where it is installed.
        program: its name.
        arguments: of the command.
        account: user whose password it may use, passed in the environment instead of the command line.
        timeout: seconds.

    Raises:
        LocalError: it failed; the message has the program's own.
    """
    how = privilege.current()
    try:
        answer = subprocess.run(
            [*how.prefix, binaries.program(program), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            env=_environment() | ({"PGPASSWORD": account.password} if account else {}),
            timeout=timeout,
            check=False,
            **how.identity,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LocalError(
            f"{program} of {binaries.directory} cannot be run as {how.user or 'this user'}: {error}"
        ) from error
    if answer.returncode != 0:
        raise LocalError(f"{program} failed ({answer.returncode}): {(answer.stderr or answer.stdout).strip()}")


def _environment() -> dict[str, str]:
    # PGDATA, PGOPTIONS, PGSSLMODE… of the user's shell concern other servers.
    own = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return own | {"LC_ALL": "C", "TZ": "UTC"}


# Several servers may be created at once. The first one makes the template, and the others wait for it.
_templates_lock = threading.Lock()


def _template(templates: Path, binaries: Binaries, account: Account) -> Path:
    directory = templates.absolute() / f"postgres-{binaries.version}-{account.user}"
    password_file = directory / "password"
    with _templates_lock:
        # The superuser's password is part of the data: with another one the template is of no use.
        if not password_file.exists() or password_file.read_text() != account.password:
            _make_template(directory, binaries, account)
    return directory / "data"


def _make_template(directory: Path, binaries: Binaries, account: Account) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    draft = directory.with_name(f"{directory.name}.{secrets.token_hex(4)}")
    how = privilege.current()
    directory.parent.mkdir(parents=True, exist_ok=True, mode=how.directory_mode)
    draft.mkdir(mode=how.directory_mode)
    write_whole(draft / "password", account.password)
    how.own(draft)
    run_program(
        binaries,
        "initdb",
        [
            *("-D", str(draft / "data"), "-U", account.user, "-A", "scram-sha-256"),
            *("--pwfile", str(draft / "password"), "-E", "UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-sync"),
            # Each promotion begins a new WAL segment, and a rewind copies all of them. With the default of 16 MB, each
            # failover took longer than the one before.
            "--wal-segsize=1",
        ],
    )
    # An interrupted initdb leaves only a draft, which no server is copied from.
    draft.rename(directory)
