"""Run a MySQL server as an instance of a DB cluster: each commit waits for as many readers as the cluster says.

A semi-synchronous source counts acknowledgements and does not look at their senders. So only a reader that the writer
waits for may acknowledge. It starts when the writer already waits for one more, and stops before the writer waits for
one fewer.
"""

from __future__ import annotations

import contextlib
import json
import logging
from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.fleet.mysql.server import MySQLMember

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.engines.mysql.installations import Installation
    from rdskit.local.engines.session import Account, ServerSession
    from rdskit.local.fleet.engine import Member, Upstream
    from rdskit.local.fleet.model import InstanceSpec

_log = logging.getLogger(__name__)

SCHEMA: Final = "rds_cluster"
_STATEMENT_TIMEOUT: Final = 2.0  # seconds for a statement that a healthy server answers at once
_SELECT_MEMBERS: Final = f"select members from {SCHEMA}.topology"  # noqa: S608 - our own constant
_REPLACE_MEMBERS: Final = f"replace into {SCHEMA}.topology (id, members) values (1, %s)"  # noqa: S608 - as above


class ClusterMember(MySQLMember):
    """MySQL server of a cluster; arguments as of its parent.

    Args:
        identifier: its name in RDS, which it reports as ``report_host``.
    """

    def __init__(
        self, data: Path, address: Endpoint, installation: Installation, account: Account, identifier: str
    ) -> None:
        super().__init__(data, address, installation, account)
        self._identifier = identifier
        self._published_members = ""

    def configure(self, settings: Mapping[str, str], upstream: Upstream | None = None) -> None:
        """Write the option file, including the server's own name."""
        super().configure({**settings, "report_host": self._identifier}, upstream)

    @property
    def number(self) -> int:
        """``server_id`` since its last start."""
        return self.server_id

    def acknowledged_by(self, names: Collection[str], needed: int) -> None:
        """Configure the number of acknowledgements that each commit waits for. A dead server starts without any."""
        if not self.alive:
            return
        source = "rpl_semi_sync_source"
        with self.connect(timeout=_STATEMENT_TIMEOUT) as session:
            # The count before the switch: otherwise commits could return after the old, lower number. A count of 0 is
            # not allowed, so without readers only the switch changes.
            if names:
                session.execute(f"set global {source}_wait_for_replica_count = {needed}", timeout=_STATEMENT_TIMEOUT)
            self._set(session, self.dialect.source_waits, on=bool(names))
            # commits_wait() looks for acknowledgements later than this point, which are given under the new setting.
            self._acknowledged_before = self._acknowledged(session)

    def acknowledge(self, *, on: bool) -> None:
        """Make a reader acknowledge what it receives, or stop it.

        A reader that cannot be stopped in time is killed. It restarts without acknowledging.
        """
        if not self.alive:
            return
        done = not self.suspended and self._set_acknowledging(acknowledging=on)
        # The writer is about to wait for one fewer. An acknowledgement that this reader might still send would count in
        # place of another reader's, so it must be certain that none follows.
        if not done and not on:
            self.fence()

    def stop(self, timeout: float = 30.0) -> None:
        """Stop the server cleanly; kill it if it does not end within ``timeout`` seconds."""
        # A source that waits for acknowledgements also waits for its replicas at shutdown, for ten seconds. A server
        # that does not answer is stopped without this.
        with contextlib.suppress(LocalError):
            self.acknowledged_by((), 0)
        super().stop(timeout)

    def publish_members(self, own: str, writer: str | None, members: Sequence[Member]) -> None:  # noqa: ARG002
        """Publish the members to its views.

        Readers replicate the writer's table, and the views read the roles live. So only the writer is written to, and
        only if the members have changed.
        """
        published = json.dumps([_entry(each) for each in members])
        if self.alive and not self.is_standby and published != self._published_members:
            with self.connect(timeout=_STATEMENT_TIMEOUT) as session:
                # Read first: a write replicates to every reader, and a restart of the daemon alone changes nothing.
                if session.execute(_SELECT_MEMBERS, timeout=_STATEMENT_TIMEOUT) != [(published,)]:
                    session.execute(_REPLACE_MEMBERS, published, timeout=_STATEMENT_TIMEOUT)
        self._published_members = published

    def set_up(self, spec: InstanceSpec) -> None:
        """Create the views, users and databases of a new cluster on a fresh server."""
        with self.connect() as session:
            session.execute(f"create database {SCHEMA}")
            session.execute(
                f"create table {SCHEMA}.topology (id int primary key, members text not null) engine = innodb"
            )
            self._make_views(session)
        super().set_up(spec)

    def _make_views(self, session: ServerSession) -> None:
        """Create the views that clients query."""
        raise NotImplementedError

    def _set_acknowledging(self, *, acknowledging: bool) -> bool:
        try:
            with self.connect(timeout=_STATEMENT_TIMEOUT) as session:
                self._reconnect(session, acknowledging=acknowledging)
        except LocalError as error:
            _log.info("%s does not change whether it acknowledges: %s", self.address, error)
            return False
        return True

    def _reconnect(self, session: ServerSession, *, acknowledging: bool) -> None:
        # A replica announces only when it connects whether it will acknowledge, so its receiver must reconnect.
        session.execute("stop replica io_thread", timeout=_STATEMENT_TIMEOUT)
        session.execute(
            f"set global {self.dialect.replica_acknowledges} = {'on' if acknowledging else 'off'}",
            timeout=_STATEMENT_TIMEOUT,
        )
        session.execute("start replica io_thread", timeout=_STATEMENT_TIMEOUT)


def _entry(member: Member) -> dict[str, object]:
    host, port = member.address
    return {
        "identifier": member.identifier,
        "session": member.session,
        "host": host,
        "port": port,
        "name_in_rds": member.name_in_rds,
        "port_in_rds": member.port,
        "server_id": member.number,
    }
