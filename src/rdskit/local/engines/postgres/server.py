"""One PostgreSQL server: its data directory, its process and what is done to both."""

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
_ACCEPTS_LOGINS = ("ready", "standby")
_STATUS_LINE = 7
_COMPLAINT = re.compile(r":(ERROR|FATAL|PANIC|HINT):  ")
_CHECKPOINT = 60.0
_STANDBY_SIGNAL = "standby.signal"


class PostgresServer(DatabaseServer):
    """A PostgreSQL server of ours: initialised, configured, started, fenced, cloned and promoted by us alone.

    Args:
        data: its data directory; the log is beside it.
        address: where it listens.
        binaries: the programs to run.
        account: its superuser, which also replicates.

    Attributes:
        sockets: directory of its private Unix socket, by which members of ``rds_iam`` come in without a password.
        session_settings: options of the sessions that :meth:`connect` opens.
    """

    session_settings: ClassVar[str] = ""

    def __init__(self, data: Path, address: Endpoint, binaries: Binaries, account: Account) -> None:
        super().__init__("PostgreSQL", data, address, account, _COMPLAINT)
        self.binaries = binaries
        self.sockets = self.data.with_name(f"{self.data.name}.sockets")
        self._privilege = privilege.current()

    def init(self, templates: Path) -> None:
        """Make the data directory: a copy of an initialised one, which costs a third of ``initdb``.

        Args:
            templates: where initialised directories are kept for the next server.
        """
        template = _template(templates, self.binaries, self.account)
        shutil.copytree(template, self.data, symlinks=True)
        configuration.write_access(self.data, self.account)
        self._privilege.own(self.data.parent)

    def configure(self, settings: Mapping[str, str]) -> None:
        """Write the configuration; :meth:`reload` or a start makes it count.

        Args:
            settings: what differs from the defaults, all of it.

        Raises:
            LocalError: PostgreSQL refuses a name or a value; the old configuration stays.
        """
        text = configuration.settings_text(self.address, f"../{self.sockets.name}", settings)
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
        """Start the server and wait until it accepts logins; crash recovery included.

        Args:
            timeout: seconds.

        Raises:
            LocalError: it ended, or accepted no login in time; the message has the end of its log.
        """
        if self.alive:
            return
        processes.end_orphans(self.data)
        # Nobody works here any more, so the file is stale; its pid may exist all the same, unreaped or used again.
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
        self._end(_STOP_SIGNALS[mode], timeout)

    def reload(self) -> None:
        """Have the running server read its configuration again."""
        self._running.send_signal(signal.SIGHUP)

    def promote(self) -> None:
        """Ask a standby to become a primary; it accepts writes some milliseconds later."""
        trigger = self.data / "promote"
        trigger.touch(mode=0o600)
        self._privilege.own(trigger)
        self._running.send_signal(signal.SIGUSR1)

    def clone(self, source: PostgresServer) -> None:
        """Make the data directory a physical copy of a running server; it will start as a standby.

        Args:
            source: a primary or a standby.
        """
        self._privilege.own(self.data.parent)
        # Unsynced it takes half the time; a copy that is torn when the operating system dies does not start, and is
        # made again.
        self._run(
            *("pg_basebackup", "-D", str(self.data), "-X", "stream", "-c", "fast", "--no-sync", "--no-password"),
            *("-h", source.address.host, "-p", str(source.address.port), "-U", source.account.user),
            account=source.account,
        )
        configuration.write_access(self.data, self.account)
        self.become_standby()

    def rewind(self, source: PostgresServer) -> None:
        """Bring a stopped server whose history has parted from ``source`` back to it; it will start as a standby.

        Args:
            source: the running server whose history counts.

        Raises:
            LocalError: the histories cannot be joined, for instance as WAL is missing: clone instead.
        """
        # Before: releases up to 16 look for the source's timeline in its last checkpoint. Afterwards: the target starts
        # only when it has received all that the source had written, and an idle source keeps its last bytes unflushed.
        source.checkpoint()
        self._run(
            *("pg_rewind", "--target-pgdata", str(self.data), "--no-sync", "--source-server"),
            f"host={source.address.host} port={source.address.port} user={source.account.user} dbname=postgres",
            account=source.account,
        )
        source.checkpoint()
        configuration.write_access(self.data, self.account)
        self.become_standby()

    def checkpoint(self) -> None:
        """Have the running server flush everything to disk."""
        with self.connect() as session:
            session.execute("checkpoint", timeout=_CHECKPOINT)

    def become_standby(self) -> None:
        """Start as a standby next time."""
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
        # A killed server leaves its socket and a lock on it, with a pid that may be somebody else's by now.
        shutil.rmtree(self.sockets, ignore_errors=True)
        self.sockets.mkdir(mode=0o700)
        self._privilege.own(self.sockets)

    def _accepts_logins(self) -> bool:
        # Line 1 must be our own child: a stale file of a killed server has another pid.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        if len(lines) <= _STATUS_LINE or lines[0].strip() != str(self.pid):
            return False
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
        account: whose password it may use; passed in the environment, not in the command.
        timeout: seconds.

    Raises:
        LocalError: it failed; the message has its own.
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
    # PGDATA, PGOPTIONS, PGSSLMODE… of the user's shell are about other servers.
    own = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return own | {"LC_ALL": "C", "TZ": "UTC"}


_templates_lock = threading.Lock()


def _template(templates: Path, binaries: Binaries, account: Account) -> Path:
    directory = templates.absolute() / f"postgres-{binaries.version}-{account.user}"
    password_file = directory / "password"
    with _templates_lock:
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
            # Each promotion begins a segment and a rewind copies them all: with 16 MB a failover got slower and slower.
            "--wal-segsize=1",
        ],
    )
    draft.rename(directory)
