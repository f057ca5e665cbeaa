"""Manage one MySQL server.

Replication by GTID, semi-synchronous replication and the clone plugin: MySQL 9.7 Reference Manual, chapters
"Replication" and "The Clone Plugin".
"""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, ClassVar, Self

from rdskit.errors import LocalError
from rdskit.local.engines.files import write_whole
from rdskit.local.engines.mysql.family import REPLICATION_STATUS, MySQLFamilyServer
from rdskit.local.engines.mysql.model import Dialect
from rdskit.local.engines.mysql.options import MYSQL_DEFAULTS
from rdskit.local.engines.mysql.programs import run_to_end
from rdskit.local.engines.mysql.sql import MySQLSession, ServerRefused, literal
from rdskit.local.engines.mysql.time_zones import time_zone_sql
from rdskit.local.engines.session import SessionLost
from rdskit.local.engines.waiting import poll

if TYPE_CHECKING:
    from pathlib import Path

    from rdskit.local.engines.session import ServerSession

#: The server generates this RSA key pair at its initialization. caching_sha2_password encrypts passwords with it on
#: connections without TLS.
_KEY_PAIR = ("private_key.pem", "public_key.pem")
_CLONE_TIMEOUT = 300.0
_CLONE_PAUSE = 0.1
_BUSY_CLONING = 3634  # ER_CLONE_TOO_MANY_CONCURRENT_CLONES


class MySQLServer(MySQLFamilyServer):
    """MySQL server that only this class starts and ends."""

    dialect: ClassVar[Dialect] = Dialect(
        delay="change replication source to source_delay = %s",
        defaults=MYSQL_DEFAULTS,
        standby={"super_read_only": "ON"},
        source_waits="rpl_semi_sync_source_enabled",
        replica_acknowledges="rpl_semi_sync_replica_enabled",
        skip_start="skip_replica_start",
        replica="Replica",
        source="Source",
        source_status="Rpl_semi_sync_source_",
    )

    def clone(self, source: Self) -> None:
        """Copy a running server's data into the data directory, to start as a standby.

        Args:
            source: a primary or a standby, which goes on working.
        """
        with source.connect() as session:
            if not poll(lambda: self._copied_from(session), timeout=_CLONE_TIMEOUT, interval=_CLONE_PAUSE):
                raise LocalError(
                    f"{source.address} was busy with other copies for {_CLONE_TIMEOUT:g} s: try again later"
                )
        # CLONE copies InnoDB's data and nothing else. Logins without TLS need the RSA keys too.
        for name in _KEY_PAIR:
            shutil.copy2(source.data / name, self.data / name)
        self.become_standby()

    def stop(self, timeout: float = 30.0) -> None:
        """Stop the server cleanly; kill it if it does not end within ``timeout`` seconds."""
        if self.alive:
            self.resume()
            self._end_sessions()
        super().stop(timeout)

    def position(self) -> str:
        """Return the set of all committed GTIDs."""
        with self.connect() as session:
            return _one_line(session.execute("select @@global.gtid_executed")[0][0])

    def wait_for_position(self, position: str, timeout: float) -> bool:
        """Return whether a replica applied ``position`` within ``timeout`` seconds."""
        with self.connect() as session:
            return _wait(session, position, timeout)

    def received_position(self, session: ServerSession) -> str:
        """Return the set of all GTIDs that are received or committed."""
        # Both sets: Retrieved_Gtid_Set starts empty after RESET REPLICA ALL, and does not have what the server
        # committed itself.
        retrieved = session.record(REPLICATION_STATUS).get("Retrieved_Gtid_Set")
        executed = session.execute("select @@global.gtid_executed")[0][0]
        return ",".join(each for each in (_one_line(executed), _one_line(retrieved)) if each)

    def includes(self, session: ServerSession, position: str, part: str) -> bool:
        """Return whether one set of GTIDs has all of another."""
        return session.execute("select gtid_subset(%s, %s)", part, position)[0][0] == "1"

    def is_part_of(self, source: Self) -> bool:
        """Return whether the source has every transaction of this server in its own history."""
        with self.connect() as session:
            answer = session.execute("select gtid_subset(@@global.gtid_executed, %s)", source.position())
        return answer[0][0] == "1"

    def _copied_from(self, session: MySQLSession) -> bool:
        """Make the copy; return False while the source makes another one, as it makes one at a time."""
        try:
            session.execute("clone local data directory = %s", str(self.data), timeout=_CLONE_TIMEOUT)
        except ServerRefused as refusal:
            if refusal.errno != _BUSY_CLONING:
                raise
            return False
        return True

    def _end_sessions(self) -> None:
        """End the connections that delay a clean stop: those of replicas, and idle ones of the fleet's account."""
        # MySQL waits 2 s at shutdown if any connection is open, and up to 11 s for a replica's (``close_connections``
        # in sql/mysqld.cc). A user's statement is left to the server, which answers it with "shutdown in progress".
        # Errors are ignored: the server may not answer, or a connection may have ended before the KILL.
        with contextlib.suppress(SessionLost, ServerRefused), self.connect(timeout=1.0) as session:
            # A killed replica would connect again at once. Replicas connect without TLS, so this refuses them.
            session.execute("set global require_secure_transport = on")
            for number, user, _, _, command, *_ in session.execute("show processlist"):
                idle = command == "Sleep" and user == self.account.user
                if idle or (command and command.startswith("Binlog Dump")):
                    session.execute(f"kill {number}")

    def _bootstrap(self, data: Path) -> None:
        script = data.with_name("account.sql")
        user = f"{literal(self.account.user)}@'%'"
        write_whole(
            script,
            f"create user {user} identified by {literal(self.account.password)};\n"
            f"grant all on *.* to {user} with grant option;\n"
            "drop user root@localhost;\n"
            f"{time_zone_sql()}",
        )
        run_to_end(
            self._server_command(
                "--no-defaults",
                *("--initialize-insecure", f"--datadir={data}", f"--init-file={script}", "--disable-log-bin"),
                *("--innodb-redo-log-capacity=32M", "--innodb-use-native-aio=OFF", "--auto-generate-certs=OFF"),
            )
        )
        script.unlink()
        # The file has the server_uuid, which must differ in each copy. The server generates one if the file is missing.
        (data / "auto.cnf").unlink()

    def _validate(self, options: Path) -> None:
        run_to_end(self._server_command(f"--defaults-file={options}", "--validate-config"))

    def _point_at(self, session: MySQLSession, source: MySQLFamilyServer) -> None:
        # A copy of a replica has that replica's channel.
        session.execute("reset replica all")
        session.execute(
            "change replication source to source_host = %s, source_port = %s, source_user = %s, source_password = %s, "
            "source_auto_position = 1, source_connect_retry = 1, source_retry_count = 0, "
            "source_heartbeat_period = 2, source_ssl = 0, get_source_public_key = 1",
            *(source.address.host, source.address.port, source.account.user, source.account.password),
        )

    def _apply_received(self, session: MySQLSession, timeout: float) -> bool:
        received = _one_line(session.record(REPLICATION_STATUS).get("Retrieved_Gtid_Set"))
        return not received or _wait(session, received, timeout)

    def _refuse_writes(self, session: MySQLSession) -> None:
        session.execute("set global super_read_only = on")

    def _accept_writes(self, session: MySQLSession) -> None:
        session.execute("set global super_read_only = off")
        session.execute("set global read_only = off")


def _one_line(gtids: str | None) -> str:
    """Return a set of GTIDs without the line breaks that the server puts between its parts."""
    return (gtids or "").replace("\n", "")


def _wait(session: MySQLSession, position: str, timeout: float) -> bool:
    answer = session.execute("select wait_for_executed_gtid_set(%s, %s)", position, timeout, timeout=timeout + 5)
    # WAIT_FOR_EXECUTED_GTID_SET returns 0 for success and 1 for a time-out.
    return answer[0][0] == "0"
