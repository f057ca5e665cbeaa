"""One PostgreSQL server of an instance: streaming replication, synchronous where the fleet asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.local.engines.postgres.configuration import upstream as stream_settings
from rdskit.local.engines.postgres.server import PostgresServer
from rdskit.local.engines.postgres.sql import SUPERVISOR
from rdskit.local.engines.session import Record, SessionLost, StatementRefused
from rdskit.local.engines.waiting import poll
from rdskit.local.fleet.engine import STANDBY, Probe, ProbeQuery
from rdskit.local.fleet.postgres import roles
from rdskit.local.fleet.postgres.policy import is_ahead, standby_limits
from rdskit.local.fleet.postgres.policy import position as byte_position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.engines.postgres.providers import Binaries
    from rdskit.local.engines.session import Account, ServerSession
    from rdskit.local.fleet.engine import Upstream
    from rdskit.local.fleet.model import InstanceSpec

_PRIMARY_PROBE: Final = f"""
    select coalesce(max(state), '') as state from pg_stat_replication where application_name = '{STANDBY}'
"""  # noqa: S608 - our own constant
_FOLLOWER_PROBE: Final = """
    select coalesce((select status from pg_stat_wal_receiver), '') as state,
           case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
                else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) end as lag
"""
# Backends wait only once the checkpointer has published the new setting, and that shows in one thing alone: that one
# of them waits. What was flushed before need not have waited.
_COMMITS_WAIT: Final = f"""
    select exists (select from pg_stat_replication where application_name = '{STANDBY}' and sync_state = 'sync')
       and exists (select from pg_stat_activity where wait_event = 'SyncRep')
"""  # noqa: S608 - our own constant
_RECEIVED: Final = """
    select coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()),
           not exists (select from pg_stat_wal_receiver where status = 'streaming')
"""
_POLL_INTERVAL: Final = 0.005


class PostgresMember(PostgresServer):
    """A PostgreSQL server as part of an instance; arguments as of its parent."""

    session_settings = SUPERVISOR

    def __init__(self, data: Path, address: Endpoint, binaries: Binaries, account: Account) -> None:
        super().__init__(data, address, binaries, account)
        self._settings: Mapping[str, str] = {}
        self._upstream: Upstream | None = None
        self._synchronous_names = ""
        self._replay_delay = 0.0

    @property
    def version(self) -> str:
        """As the server prints it."""
        return self.binaries.version

    @property
    def socket(self) -> str:
        """Directory of its private Unix socket."""
        return str(self.sockets)

    def configure(self, settings: Mapping[str, str], upstream: Upstream | None = None) -> None:
        """Write the configuration of a follower of ``upstream``, or of a primary."""
        if upstream is None:
            super().configure({**settings, "synchronous_standby_names": self._synchronous_names})
        else:
            self._synchronous_names = ""
            source = stream_settings(upstream.server.address, self.account, self.data, upstream.name)
            late = {"recovery_min_apply_delay": f"{self._replay_delay * 1000:.0f}ms"} if self._replay_delay else {}
            super().configure({**settings, **standby_limits(settings, upstream.settings), **source, **late})
        self._settings, self._upstream = settings, upstream

    def delay_replay(self, seconds: float) -> None:
        """Apply each commit that much later than its source, or at once again with 0; of a primary: once it follows."""
        self._replay_delay = seconds
        if not self.is_standby:
            return
        self.configure(self._settings, self._upstream)
        if self.alive:
            self.reload()

    def apply(self) -> None:
        """Have the running server read its configuration again."""
        self.reload()

    def pending_restart(self) -> frozenset[str]:
        """The settings that wait for a restart, as the server says."""
        with self.connect() as session:
            return frozenset(
                name for (name,) in session.execute("select name from pg_settings where pending_restart") if name
            )

    def stream(self, upstream: Upstream) -> None:  # noqa: ARG002 - it is in the configuration
        """Follow as configured."""
        if self.alive:
            self.reload()
        else:
            self.start()

    def streams(self, session: ServerSession) -> bool:
        """Whether it receives."""
        return session.execute("select status from pg_stat_wal_receiver") == [("streaming",)]

    def position(self) -> str:
        """The end of the WAL on disk, such as ``0/3000060``."""
        with self.connect() as session:
            return session.execute("select pg_current_wal_flush_lsn()")[0][0] or "0/0"

    def has_received(self, session: ServerSession, position: str) -> bool:
        """Whether its own WAL on disk goes at least as far."""
        sql = "select coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) >= $1::pg_lsn"
        return session.execute(sql, position) == [("t",)]

    def require_acknowledgement(self, *, on: bool) -> None:
        """Name the standby as synchronous, or nobody."""
        self._name_synchronous(STANDBY if on else "")

    def _name_synchronous(self, names: str) -> None:
        """Set ``synchronous_standby_names``."""
        self._synchronous_names = names
        self.configure(self._settings)
        if self.alive:
            self.reload()

    def commits_wait(self, session: ServerSession) -> bool:
        """Whether a backend waits right now: to be asked while there are commits."""
        return session.execute(_COMMITS_WAIT) == [("t",)]

    def received(self, timeout: float) -> str | None:
        """How far it has received, once it receives nothing more of the old timeline."""
        try:
            with self.connect(timeout=1.0) as session:

                def ended() -> bool:
                    return session.execute(_RECEIVED, timeout=timeout)[0][1] == "t"

                if not poll(ended, timeout=timeout, interval=_POLL_INTERVAL):
                    return None
                return session.execute(_RECEIVED, timeout=timeout)[0][0] or "0/0"
        except (SessionLost, StatementRefused):
            return None

    def had(self, position: str) -> bool:
        """Whether a position is before the beginning of its new timeline."""
        return not is_ahead(byte_position(position), self._switch_point())

    def probe(self, *, following: bool) -> ProbeQuery:
        """How to look at it."""
        return ProbeQuery(_FOLLOWER_PROBE if following else _PRIMARY_PROBE, _read)

    def set_up(self, spec: InstanceSpec) -> None:
        """Give a fresh server the roles and databases of a new RDS instance."""
        roles.set_up(self, spec)

    def set_password(self, user: str, password: str) -> None:
        """Change a user's password; it appears in no statement."""
        roles.set_password(self, user, password)

    def open_writer(self, *, timeout: float = 5.0) -> ServerSession:
        """A session in the fleet's own database."""
        return self.connect(roles.ADMIN_DATABASE, timeout=timeout)

    def heartbeat(self, session: ServerSession, *, timeout: float) -> bool:
        """The smallest durable write; False while the server refuses writes."""
        return roles.heartbeat(session, timeout=timeout)

    def _switch_point(self) -> int:
        """Where the new timeline begins: the last line of the newest history file, ``TLI<tab>LSN<tab>reason``."""
        newest = max((self.data / "pg_wal").glob("*.history"))
        last = [line for line in newest.read_text().splitlines() if line.strip() and not line.startswith("#")][-1]
        return byte_position(last.split("\t")[1])


def _read(rows: Sequence[Record]) -> Probe:
    lag = rows[0].get("lag")
    return Probe(rows[0]["state"] == "streaming", None if lag is None else float(lag))
