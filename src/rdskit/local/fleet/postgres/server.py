"""Run one PostgreSQL server of an instance: streaming replication, synchronous where the fleet requires it."""

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
# After a reload, backends wait only once the checkpointer has published the new synchronous_standby_names in shared
# memory. Only a backend that waits shows that this has happened: pg_stat_replication changes earlier. A commit that was
# flushed before that moment need not have waited.
_COMMITS_WAIT: Final = f"""
    select exists (select from pg_stat_replication where application_name = '{STANDBY}' and sync_state = 'sync')
       and exists (select from pg_stat_activity where wait_event = 'SyncRep')
"""  # noqa: S608 - our own constant
# pg_last_wal_receive_lsn() is null on a standby that has not streamed since its start; what it replayed counts then.
_RECEIVED: Final = """
    select coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()),
           not exists (select from pg_stat_wal_receiver where status = 'streaming')
"""
_POLL_INTERVAL: Final = 0.005


class PostgresMember(PostgresServer):
    """PostgreSQL server as part of an instance; arguments as of its parent."""

    session_settings = SUPERVISOR

    def __init__(self, data: Path, address: Endpoint, binaries: Binaries, account: Account) -> None:
        super().__init__(data, address, binaries, account)
        self._settings: Mapping[str, str] = {}
        self._upstream: Upstream | None = None
        self._synchronous_names = ""
        self._replay_delay = 0.0

    @property
    def version(self) -> str:
        """Version as the server prints it."""
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
            # A follower must not come up after its promotion waiting for a standby that does not exist.
            self._synchronous_names = ""
            source = stream_settings(upstream.server.address, self.account, self.data, upstream.name)
            late = {"recovery_min_apply_delay": f"{self._replay_delay * 1000:.0f}ms"} if self._replay_delay else {}
            super().configure({**settings, **standby_limits(settings, upstream.settings), **source, **late})
        self._settings, self._upstream = settings, upstream

    def delay_replay(self, seconds: float) -> None:
        """Delay the apply of each commit by some seconds; 0 ends the delay. A primary applies it once it follows."""
        self._replay_delay = seconds
        if not self.is_standby:
            return
        self.configure(self._settings, self._upstream)
        if self.alive:
            self.reload()

    def apply(self) -> None:
        """Reload the configuration of the running server."""
        self.reload()

    def pending_restart(self) -> frozenset[str]:
        """Return the settings that wait for a restart, as the server reports them."""
        with self.connect() as session:
            return frozenset(
                name for (name,) in session.execute("select name from pg_settings where pending_restart") if name
            )

    def stream(self, upstream: Upstream) -> None:  # noqa: ARG002 - it is in the configuration
        """Follow as configured: reload a running server, start a stopped one."""
        # Since PostgreSQL 13 a reload of primary_conninfo restarts the WAL receiver; no server restart is needed.
        if self.alive:
            self.reload()
        else:
            self.start()

    def streams(self, session: ServerSession) -> bool:
        """Return whether it receives WAL."""
        return session.execute("select status from pg_stat_wal_receiver") == [("streaming",)]

    def position(self) -> str:
        """Return the end of the WAL on disk, such as ``0/3000060``."""
        with self.connect() as session:
            return session.execute("select pg_current_wal_flush_lsn()")[0][0] or "0/0"

    def has_received(self, session: ServerSession, position: str) -> bool:
        """Return whether its own WAL on disk reaches at least as far."""
        sql = "select coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) >= $1::pg_lsn"
        return session.execute(sql, position) == [("t",)]

    def require_acknowledgement(self, *, on: bool) -> None:
        """Name the standby as synchronous, or no server."""
        self._name_synchronous(STANDBY if on else "")

    def _name_synchronous(self, names: str) -> None:
        """Set ``synchronous_standby_names`` and reload."""
        self._synchronous_names = names
        self.configure(self._settings)
        if self.alive:
            self.reload()

    def commits_wait(self, session: ServerSession) -> bool:
        """Return whether a backend waits for an acknowledgement right now. Call this while there are commits."""
        return session.execute(_COMMITS_WAIT) == [("t",)]

    def received(self, timeout: float) -> str | None:
        """Return how far it has received, once it receives nothing more of the old timeline."""
        try:
            with self.connect(timeout=1.0) as session:

                def ended() -> bool:
                    return session.execute(_RECEIVED, timeout=timeout)[0][1] == "t"

                if not poll(ended, timeout=timeout, interval=_POLL_INTERVAL):
                    return None
                # Queried again: the position of the earlier answer may be older than the end of the stream.
                return session.execute(_RECEIVED, timeout=timeout)[0][0] or "0/0"
        except (SessionLost, StatementRefused):
            return None

    def had(self, position: str) -> bool:
        """Return whether a position is before the beginning of its new timeline."""
        return not is_ahead(byte_position(position), self._switch_point())

    def probe(self, *, following: bool) -> ProbeQuery:
        """Return the query that probes a follower or a primary."""
        return ProbeQuery(_FOLLOWER_PROBE if following else _PRIMARY_PROBE, _read)

    def set_up(self, spec: InstanceSpec) -> None:
        """Create the roles and databases of a new RDS instance on a fresh server."""
        roles.set_up(self, spec)

    def set_password(self, user: str, password: str) -> None:
        """Change a user's password. Only its SCRAM verifier appears in the statement."""
        roles.set_password(self, user, password)

    def open_writer(self, *, timeout: float = 5.0) -> ServerSession:
        """Open a session in the fleet's own database."""
        return self.connect(roles.ADMIN_DATABASE, timeout=timeout)

    def heartbeat(self, session: ServerSession, *, timeout: float) -> bool:
        """Commit the smallest durable write; return False while the server refuses writes."""
        return roles.heartbeat(session, timeout=timeout)

    def _switch_point(self) -> int:
        """Return where the new timeline begins.

        It is in the last line of the newest history file: ``TLI<tab>LSN<tab>reason``.
        """
        newest = max((self.data / "pg_wal").glob("*.history"))
        last = [line for line in newest.read_text().splitlines() if line.strip() and not line.startswith("#")][-1]
        return byte_position(last.split("\t")[1])


def _read(rows: Sequence[Record]) -> Probe:
    lag = rows[0].get("lag")
    return Probe(rows[0]["state"] == "streaming", None if lag is None else float(lag))
