"""Manage one MariaDB server.

Replication by GTID: https://mariadb.com/kb/en/gtid/. Semi-synchronous replication:
https://mariadb.com/kb/en/semisynchronous-replication/.
"""

from __future__ import annotations

import hashlib
import tempfile
from typing import TYPE_CHECKING, ClassVar, Self

from rdskit.errors import LocalError
from rdskit.kernel.typing import override
from rdskit.local.engines.files import write_whole
from rdskit.local.engines.mysql.family import REPLICATION_STATUS, MySQLFamilyServer
from rdskit.local.engines.mysql.model import Dialect
from rdskit.local.engines.mysql.options import MARIADB_DEFAULTS, client_text
from rdskit.local.engines.mysql.programs import run_to_end
from rdskit.local.engines.mysql.sql import literal
from rdskit.local.engines.mysql.time_zones import time_zone_sql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rdskit.local.engines.mysql.sql import MySQLSession
    from rdskit.local.engines.session import Account, ServerSession

_SCRIPTS = (
    "mysql_system_tables.sql",
    "mysql_performance_tables.sql",
    "mysql_system_tables_data.sql",
    "fill_help_tables.sql",
    "maria_add_gis_sp_bootstrap.sql",
    "mysql_sys_schema.sql",
)
#: File of mariadb-backup that says where in the source's binary log the copy ends. Newer releases name it differently.
_BACKUP_POSITION = ("xtrabackup_binlog_info", "mariadb_backup_binlog_info")
#: Milliseconds. mariadb-backup waits that long once at the end of a copy; the default is a second.
_LOG_COPY_INTERVAL = "--log-copy-interval=20"
#: File in the copied data with the GTIDs up to that place.
_COPIED_POSITION = "copied_gtid_binlog_pos"


class MariaDBServer(MySQLFamilyServer):
    """MariaDB server that only this class starts and ends."""

    dialect: ClassVar[Dialect] = Dialect(
        delay="change master to master_delay = %s",
        defaults=MARIADB_DEFAULTS,
        # With init_rpl_role=SLAVE, crash recovery removes transactions that are prepared but were never acknowledged by
        # the standby (MDEV-21117). Otherwise a former primary would commit them and differ from the new primary.
        standby={"read_only": "ON", "init_rpl_role": "SLAVE"},
        source_waits="rpl_semi_sync_master_enabled",
        replica_acknowledges="rpl_semi_sync_slave_enabled",
        skip_start="skip_slave_start",
        replica="Slave",
        source="Master",
        source_status="Rpl_semi_sync_master_",
    )

    def clone(self, source: Self) -> None:
        """Copy a running server's data into the data directory, to start as a standby.

        Args:
            source: a primary or a standby, which goes on working.
        """
        login = self.data.with_name(f"{self.data.name}.login.cnf")
        # The password is in a file of mode 0600: every user of the machine can read a command line.
        write_whole(login, client_text(source.address, source.account))
        try:
            self._run_program(
                "mariadb-backup",
                *(f"--defaults-file={login}", "--backup", f"--target-dir={self.data}", f"--datadir={source.data}"),
                _LOG_COPY_INTERVAL,
            )
        finally:
            login.unlink()
        (self.data / _COPIED_POSITION).write_text(self._position_of_copy(source), encoding="utf-8")
        self._run_program("mariadb-backup", "--no-defaults", "--prepare", f"--target-dir={self.data}")
        self.become_standby()

    def position(self) -> str:
        """Return the last GTID of each domain in the binary log, such as ``0-1-100``."""
        with self.connect() as session:
            return session.execute("select @@global.gtid_binlog_pos")[0][0] or ""

    def wait_for_position(self, position: str, timeout: float) -> bool:
        """Return whether a replica applied ``position`` within ``timeout`` seconds."""
        with self.connect() as session:
            return _wait(session, position, timeout)

    def received_position(self, session: ServerSession) -> str:
        """Return the last GTID of each domain that is received or committed."""
        received = session.record(REPLICATION_STATUS).get("Gtid_IO_Pos")
        committed = session.execute("select @@global.gtid_binlog_pos")[0][0]
        return ",".join(each for each in (committed, received) if each)

    @override
    def includes(self, session: ServerSession, position: str, part: str) -> bool:
        """Return whether one position is at least as far as another in each domain.

        Both are of one history, so comparing the sequence numbers is enough.
        """
        have = _last_numbers(position)
        return all(number <= have.get(domain, 0) for domain, number in _last_numbers(part).items())

    def is_part_of(self, source: Self) -> bool:
        """Return whether the source has the last transactions of this server, with the server_id that wrote them.

        gtid_binlog_state has the last sequence number of every pair of domain and server_id.
        """
        # Two servers may write different transactions with the same domain and sequence number. Each start has its own
        # server_id, so an equal triple means the same transaction.
        with source.connect() as session:
            history = session.execute("select @@global.gtid_binlog_state")[0][0] or ""
        written = {(domain, server): number for domain, server, number in _gtids(history)}
        return all(number <= written.get((domain, server), 0) for domain, server, number in _gtids(self.position()))

    def _bootstrap(self, data: Path) -> None:
        data.mkdir(mode=0o700)
        scripts = [(self.installation.share / name).read_text(encoding="utf-8") for name in _SCRIPTS]
        with tempfile.TemporaryFile("w+", encoding="utf-8") as script:
            # mariadb-install-db does the same, but needs a shell, a user and paths of a system installation.
            # ``@auth_root_socket`` must be set for mysql_system_tables_data.sql.
            script.write("create database mysql;\nuse mysql;\nset @auth_root_socket = null;\n")
            script.writelines(f"{text}\n" for text in scripts)
            script.write(time_zone_sql())
            script.write(_only_user(self.account))
            script.seek(0)
            run_to_end(
                self._server_command(
                    "--no-defaults",
                    *("--bootstrap", "--silent-startup", f"--datadir={data}", "--log-warnings=0"),
                    *("--innodb-log-file-size=32M", "--innodb-use-native-aio=OFF"),
                ),
                stdin=script,
            )

    def _validate(self, options: Path) -> None:
        run_to_end(self._server_command(f"--defaults-file={options}", "--help", "--verbose"))

    def _point_at(self, session: MySQLSession, source: MySQLFamilyServer) -> None:
        copied = self._copied_position()
        if copied is not None:
            # The copy starts with an empty binary log. Without the source's state the server would count its history
            # from there, and its position would lack everything before the copy.
            session.execute("set global gtid_binlog_state = %s", copied)
        # A former primary has written its own transactions to the binary log, and gtid_slave_pos knows only replicated
        # ones.
        session.execute("set global gtid_slave_pos = @@global.gtid_binlog_pos")
        session.execute(
            "change master to master_host = %s, master_port = %s, master_user = %s, master_password = %s, "
            "master_use_gtid = slave_pos, master_connect_retry = 1, master_heartbeat_period = 2",
            *(source.address.host, source.address.port, source.account.user, source.account.password),
        )

    def _position_of_copy(self, source: Self) -> str:
        """Return the GTIDs that the copy has, computed from the source's binary log.

        mariadb-backup also stores ``gtid_current_pos``, which is too early after a restart of the source. It counts
        only what the source has written under the server_id of its present start.
        """
        written = next(path for name in _BACKUP_POSITION if (path := self.data / name).exists())
        file, offset, *_ = written.read_text(encoding="utf-8").split()
        with source.connect() as session:
            position = session.execute("select binlog_gtid_pos(%s, %s)", file, int(offset))[0][0]
        if position is None:
            raise LocalError(f"{source.address} no longer has {file}, where its copy ends: copy it again")
        return position

    def _copied_position(self) -> str | None:
        """Return the position of the copy, once: the file is removed."""
        path = self.data / _COPIED_POSITION
        if not path.exists():
            return None
        position = path.read_text(encoding="utf-8")
        path.unlink()
        return position

    def _apply_received(self, session: MySQLSession, timeout: float) -> bool:
        received = session.record(REPLICATION_STATUS).get("Gtid_IO_Pos")
        return not received or _wait(session, received, timeout)

    def _refuse_writes(self, session: MySQLSession) -> None:
        session.execute("set global read_only = on")

    def _accept_writes(self, session: MySQLSession) -> None:
        session.execute("set global read_only = off")


def native_password_hash(password: str) -> str:
    """Return the hash that ``mysql_native_password`` stores: ``*`` and the hexadecimal SHA-1 of the SHA-1."""
    once = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(once, usedforsecurity=False).hexdigest().upper()


def _only_user(account: Account) -> str:
    user = f"{literal(account.user)}@'%'"
    return (
        "flush privileges;\n"
        f"create user {user} identified by password '{native_password_hash(account.password)}';\n"
        f"grant all on *.* to {user} with grant option;\n"
        "drop user if exists root@localhost;\n"
        "delete from mysql.global_priv where user in ('', 'root');\n"
    )


def _gtids(position: str) -> Iterator[tuple[int, int, int]]:
    """Yield domain, server and number of each GTID in a position such as ``0-1-100,1-1-7``."""
    for gtid in position.split(","):
        if gtid:
            domain, server, number = map(int, gtid.split("-"))
            yield domain, server, number


def _last_numbers(position: str) -> dict[int, int]:
    last: dict[int, int] = {}
    for domain, _, number in _gtids(position):
        last[domain] = max(number, last.get(domain, 0))
    return last


def _wait(session: MySQLSession, position: str, timeout: float) -> bool:
    answer = session.execute("select master_gtid_wait(%s, %s)", position, timeout, timeout=timeout + 5)
    # MASTER_GTID_WAIT returns 0 for success and -1 for a time-out.
    return answer[0][0] == "0"
