"""The servers of a storm: a Multi-AZ instance with two read replicas, or an Aurora or Multi-AZ cluster of three."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import psutil
import psycopg
import pymysql
from botocore.exceptions import ClientError

from rdskit.errors import LocalError
from rdskit.local import faults, lifecycle
from rdskit.local.engines.waiting import poll

if TYPE_CHECKING:
    from tests.chaos.storm.plan import Strike
    from tests.plugins.local_rds import LocalRds

_MULTI_AZ: Final = "multi-az-"  # before the engine of a Multi-AZ DB cluster
ENGINES: Final = (
    *("postgres", "mysql", "mariadb"),
    *("aurora-postgresql", "aurora-mysql"),
    *(f"{_MULTI_AZ}postgres", f"{_MULTI_AZ}mysql"),
)
USER, PASSWORD, DATABASE = "app", "throwaway", "app"
CLASS: Final = "db.t3.medium"
READERS: Final = 2
PATIENCE: Final = 120.0  # seconds for servers to be whole again
CONNECT: Final = 10  # seconds
_NOT_NOW: Final = ("InvalidDBInstanceState", "InvalidDBClusterStateFault")

_OPEN_POSTGRES: Final = "select query from pg_stat_activity where usename = %s and pid <> pg_backend_pid()"
_OPEN_MYSQL: Final = (
    "select coalesce(info, command) from information_schema.processlist where user = %s and id <> connection_id()"
)


class Site:
    """One writer with readers on a local RDS.

    Args:
        local: where.
        engine: of ``ENGINES``.

    Attributes:
        target: for ``rdskit.connect``.
    """

    def __init__(self, local: LocalRds, engine: str) -> None:
        self._local = local
        self.engine = engine
        self._name = f"storm-{engine}"
        self._members = [self._name, *(f"{self._name}-r{number + 1}" for number in range(READERS))]
        self.target = f"rds://{USER}:{PASSWORD}@{self._name}/{DATABASE}"

    @property
    def is_cluster(self) -> bool:
        """Return whether it is a DB cluster, whose writer changes among its instances."""
        return self.engine.startswith(("aurora-", _MULTI_AZ))

    @property
    def tells_positions(self) -> bool:
        """Whether a session that has written may read from a reader: Aurora MySQL does not tell how far one is."""
        return self.engine != "aurora-mysql"

    def create(self) -> None:
        """Have all of it made, and wait until it is available."""
        if self.engine.startswith(_MULTI_AZ):
            self._create_cluster(DBClusterInstanceClass="db.m6gd.large", AllocatedStorage=100)
        elif self.is_cluster:
            self._create_cluster()
            self._members = [f"{self._name}-{number}" for number in range(READERS + 1)]
            for name in self._members:
                self._local.rds.create_db_instance(
                    DBInstanceIdentifier=name, DBInstanceClass=CLASS, Engine=self.engine, DBClusterIdentifier=self._name
                )
        else:
            self._create_instances()
        for name in self._members:
            self._local.await_available(name)

    def _create_instances(self) -> None:
        login = {"MasterUsername": USER, "MasterUserPassword": PASSWORD, "DBName": DATABASE, "MultiAZ": True}
        self._local.rds.create_db_instance(
            DBInstanceIdentifier=self._name, DBInstanceClass=CLASS, Engine=self.engine, AllocatedStorage=20, **login
        )
        self._local.await_available(self._name)
        for name in self._members[1:]:
            self._local.rds.create_db_instance_read_replica(
                DBInstanceIdentifier=name, SourceDBInstanceIdentifier=self._name
            )

    def _create_cluster(self, **more: Any) -> None:
        """Make a cluster; one with a class of its own comes with its instances."""
        rds, engine = self._local.rds, self.engine.removeprefix(_MULTI_AZ)
        login = {"MasterUsername": USER, "MasterUserPassword": PASSWORD, "DatabaseName": DATABASE}
        rds.create_db_cluster(DBClusterIdentifier=self._name, Engine=engine, **login, **more)
        if more:
            rds.get_waiter("db_cluster_available").wait(DBClusterIdentifier=self._name)
            found = rds.describe_db_clusters(DBClusterIdentifier=self._name)["DBClusters"][0]
            self._members = [each["DBInstanceIdentifier"] for each in found["DBClusterMembers"]]

    def delete(self) -> None:
        """Delete all of it, the writer last."""
        if not self.engine.startswith(_MULTI_AZ):
            readers = self.readers()
            self._local.delete(*readers, *(name for name in self._members if name not in readers))
        if self.is_cluster:
            self._local.rds.delete_db_cluster(DBClusterIdentifier=self._name, SkipFinalSnapshot=True)

    # -- faults ----------------------------------------------------------------------------------------------------

    def readers(self) -> list[str]:
        """Return the instances that are readers now."""
        writer = self._writer()
        return [name for name in self._members if name != writer]

    def strike(self, strike: Strike) -> str | None:
        """Let a fault happen; None, or why it cannot be now, as on a server that is down already."""
        readers = self.readers()
        aim = self._writer() if strike.aim == "writer" else readers[strike.number % len(readers)]
        try:
            if strike.fault is None:
                self._fail_over()
            else:
                faults.inject(aim, strike.fault, lasting=strike.lasting, data=self._local.data)
        except LocalError as error:
            return str(error)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NOT_NOW:
                raise
            return str(error)
        return None

    def clear(self) -> None:
        """End every fault."""
        for name in self._members:
            faults.clear(name, data=self._local.data)

    def failovers(self) -> list[dict[str, Any]]:
        """Return the local RDS's own records of the failovers."""
        return lifecycle.failovers(self._local.data, self._name)

    def _fail_over(self) -> None:
        if self.is_cluster:
            self._local.rds.failover_db_cluster(DBClusterIdentifier=self._name)
        else:
            self._local.rds.reboot_db_instance(DBInstanceIdentifier=self._name, ForceFailover=True)

    def _writer(self) -> str:
        if not self.is_cluster:
            return self._name
        cluster = self._local.rds.describe_db_clusters(DBClusterIdentifier=self._name)["DBClusters"][0]
        (writer,) = [each["DBInstanceIdentifier"] for each in cluster["DBClusterMembers"] if each["IsClusterWriter"]]
        return str(writer)

    # -- connections that are left -----------------------------------------------------------------------------------

    def sockets(self) -> list[str]:
        """Return this process's connections to the instances."""
        endpoints = {self._endpoint(name) for name in self._members}
        connections = psutil.Process().net_connections("tcp")
        return [f"{each.raddr}, {each.status}" for each in connections if tuple(each.raddr) in endpoints]

    def await_no_connection(self) -> dict[str, list[str]]:
        """Wait until the servers have noticed that the application has gone; what its connections there do then."""
        found: dict[str, list[str]] = {}

        def gone() -> bool:
            found.clear()
            found.update({name: sessions for name in self._members if (sessions := self._sessions(name))})
            return not found

        poll(gone, timeout=PATIENCE, interval=0.2)
        return found

    def _endpoint(self, name: str) -> tuple[str, int]:
        instance = self._local.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
        return instance["Endpoint"]["Address"], instance["Endpoint"]["Port"]

    def _sessions(self, name: str) -> list[str]:
        address, port = self._endpoint(name)
        authority = lifecycle.env(self._local.data)["RDSKIT_CA"]
        try:
            if "postgres" in self.engine:
                return _postgres_sessions(address, port, authority)
            return _mysql_sessions(address, port, authority)
        except (psycopg.OperationalError, pymysql.err.OperationalError) as error:
            return [f"no answer: {json.dumps(str(error))}"]


def _postgres_sessions(address: str, port: int, authority: str) -> list[str]:
    with psycopg.connect(
        host=address,
        port=port,
        user=USER,
        password=PASSWORD,
        dbname=DATABASE,
        sslmode="verify-full",
        sslrootcert=authority,
        connect_timeout=CONNECT,
    ) as connection:
        return [query for (query,) in connection.execute(_OPEN_POSTGRES, (USER,))]


def _mysql_sessions(address: str, port: int, authority: str) -> list[str]:
    connection = pymysql.connect(
        host=address,
        port=port,
        user=USER,
        password=PASSWORD,
        database=DATABASE,
        ssl_ca=authority,
        connect_timeout=CONNECT,
        read_timeout=CONNECT,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(_OPEN_MYSQL, (USER,))
        return [str(told) for (told,) in cursor.fetchall()]
