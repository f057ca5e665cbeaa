"""The local Aurora PostgreSQL cluster that failovers are measured on, made and steered by the RDS API."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
import psycopg

from failover_figures import DEADLINE, Event
from rdskit.errors import LocalError
from rdskit.local import faults, lifecycle
from rdskit.local.engines.waiting import poll

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CLUSTER: Final = "bench"
INSTANCES: Final = ("bench-one", "bench-two", "bench-three")
DATABASE: Final = "shop"
USER: Final = "app"
DOMAIN: Final = "c0ffee.eu-west-1.rds.amazonaws.com"
FAULTS: Final = ("kill", "hang", "blackhole", "planned")
_READY: Final = 120.0
_LEAVING: Final = 3.0  # seconds in which a server notices that a client has gone


class LocalCluster:
    """A writer and two readers for which every commit waits.

    Args:
        data: the local RDS's directory.
        password: of the master user.
    """

    def __init__(self, data: Path, password: str) -> None:
        self._data = data
        self._rds = boto3.client("rds")
        self.password = password

    @classmethod
    @contextlib.contextmanager
    def running(cls, data: Path) -> Iterator[LocalCluster]:
        """Bring a local RDS up, with the cluster in it; the environment points every AWS client at it."""
        lifecycle.up(data, _free_port())
        try:
            os.environ.update(lifecycle.env(data))
            cluster = cls(data, secrets.token_urlsafe(12))
            cluster.create()
            yield cluster
        finally:
            lifecycle.down(data)

    def create(self) -> None:
        """Create the cluster and the table that is written to."""
        self._rds.create_db_cluster(
            DBClusterIdentifier=CLUSTER,
            Engine="aurora-postgresql",
            MasterUsername=USER,
            MasterUserPassword=self.password,
            DatabaseName=DATABASE,
        )
        for name in INSTANCES:
            self._rds.create_db_instance(
                DBInstanceIdentifier=name,
                DBInstanceClass="db.r6g.large",
                Engine="aurora-postgresql",
                DBClusterIdentifier=CLUSTER,
            )
        self.await_whole()
        with self._connect(self.endpoint) as connection:
            connection.execute("create table load (key bigint not null)")

    @property
    def daemon(self) -> int:
        """The process of the local RDS; its servers are its children."""
        pid = lifecycle.status(self._data).pid
        if pid is None:
            raise LocalError(f"the local RDS in {self._data} has ended: see its log")
        return pid

    @property
    def endpoint(self) -> str:
        """Address of the cluster endpoint."""
        return str(self._described()["Endpoint"])

    @property
    def port(self) -> int:
        """Of every endpoint."""
        return int(self._described()["Port"])

    @property
    def pattern(self) -> str:
        """An instance endpoint's name, with ``?`` for the instance."""
        return f"?.{DOMAIN}"

    @property
    def endpoint_name(self) -> str:
        """The cluster endpoint's name, as RDS would give it."""
        return f"{CLUSTER}.cluster-{DOMAIN}"

    def addresses(self) -> dict[str, str]:
        """Where those names lead."""
        instances = self._rds.describe_db_instances()["DBInstances"]
        told = {f"{each['DBInstanceIdentifier']}.{DOMAIN}": each["Endpoint"]["Address"] for each in instances}
        return {**told, self.endpoint_name: self.endpoint}

    def await_whole(self) -> None:
        """Wait until both readers are in sync, and every instance is available."""
        if not poll(self._is_whole, timeout=_READY, interval=0.1):
            instances = self._rds.describe_db_instances()["DBInstances"]
            seen = {each["DBInstanceIdentifier"]: each["DBInstanceStatus"] for each in instances}
            in_sync = lifecycle.clusters(self._data)[0]["in_sync"]
            raise LocalError(
                f"cluster {CLUSTER} is not whole after {_READY:g} s: {seen}, in sync {in_sync}; "
                f"its logs are in {self._keep_logs()}"
            )

    def _keep_logs(self) -> Path:
        """Copy them to where they outlive the data."""
        kept = Path(tempfile.mkdtemp(prefix="rdskit-failover-"))
        for log in self._data.rglob("*.log"):
            shutil.copy(log, kept / "-".join(log.relative_to(self._data).parts))
        return kept

    def empty(self) -> None:
        """Forget what was written."""
        with self._connect(self.endpoint) as connection:
            connection.execute("truncate load")

    def written(self) -> Mapping[int, int]:
        """How often each key is there."""
        with self._connect(self.endpoint) as connection:
            return Counter(key for (key,) in connection.execute("select key from load"))

    def left_over(self) -> int:
        """Return the number of the user's connections on all servers, once closing ones have ended."""
        poll(lambda: not self._connections(), timeout=_LEAVING, interval=0.1)
        return self._connections()

    def happen(self, fault: str) -> Event:
        """Have a fault happen to the writer, and wait for what the local RDS makes of it.

        Args:
            fault: of ``FAULTS``.
        """
        known = self._last_failover()
        writer = self._writer()
        at, wall = time.monotonic(), time.time()
        if fault == "planned":
            self._rds.failover_db_cluster(DBClusterIdentifier=CLUSTER)
        else:
            faults.inject(writer, faults.Fault(fault), data=self._data)  # type: ignore[arg-type]  # of FAULTS
        found = self._await_failover(known)
        if found is None:
            return Event(fault, at, None, None)
        ended = at + datetime.fromisoformat(found["at"]).timestamp() - wall
        return Event(fault, at, ended, found["promotion_ms"] / 1000)

    def heal(self) -> None:
        """End every fault that still goes on."""
        for name in INSTANCES:
            faults.clear(name, data=self._data)

    def _last_failover(self) -> Mapping[str, Any] | None:
        found = lifecycle.failovers(self._data, CLUSTER)  # only so many are kept: their number says nothing
        return found[-1] if found else None

    def _await_failover(self, known: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        if not poll(lambda: self._last_failover() != known, timeout=DEADLINE, interval=0.02):
            return None
        return self._last_failover()

    def _described(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._rds.describe_db_clusters(DBClusterIdentifier=CLUSTER)["DBClusters"][0]
        return found

    def _writer(self) -> str:
        members = self._described()["DBClusterMembers"]
        return next(str(each["DBInstanceIdentifier"]) for each in members if each["IsClusterWriter"])

    def _is_whole(self) -> bool:
        instances = self._rds.describe_db_instances()["DBInstances"]
        available = sum(each["DBInstanceStatus"] == "available" for each in instances)
        return available == len(INSTANCES) and len(lifecycle.clusters(self._data)[0]["in_sync"]) == len(INSTANCES) - 1

    def _connections(self) -> int:
        """Clients of the user; each server is asked at its own endpoint, whatever its role."""
        hosts = [each["Endpoint"]["Address"] for each in self._rds.describe_db_instances()["DBInstances"]]
        return sum(self._connections_at(host) for host in hosts)

    def _connections_at(self, host: str) -> int:
        asked = "select count(*) from pg_stat_activity where usename = current_user and pid <> pg_backend_pid()"
        try:
            with self._connect(host) as connection:
                row = connection.execute(asked).fetchone()
        except psycopg.OperationalError:  # the server is restarting: it has no connections
            return 0
        return int(row[0]) if row else 0

    def _connect(self, host: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=host,
            port=self.port,
            user=USER,
            password=self.password,
            dbname=DATABASE,
            sslmode="require",
            autocommit=True,
            connect_timeout=5,
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
