"""The contenders under a failover: each opens a number of connections to the cluster and writes on them.

Every contender is used as its documentation describes: rdskit's ``execute`` and ``run``; the AWS wrapper's connections,
which stay usable after a ``FailoverSuccessError``, and which the application reopens after any other loss.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from failover_load import Entrance

INSERT = "insert into load values ({})"
_REOPEN_PAUSE: Final = 0.1  # seconds between an application's attempts to get a connection again
DEFAULTS: Final[Mapping[str, Any]] = {}
SYNC_BEST: Final[Mapping[str, Any]] = {
    "plugins": "failover_v2,host_monitoring_v2",
    "connect_timeout": 2,
    "failure_detection_time_ms": 200,
    "failure_detection_interval_ms": 200,
    "failure_detection_count": 3,
    "cluster_topology_high_refresh_rate_ms": 100,
    "monitoring-connect_timeout": 2,
}
ASYNC_BEST: Final[Mapping[str, Any]] = {**SYNC_BEST, "topology_refresh_ms": 100}
"""With its default of 30 s the asyncio wrapper learns of a new writer when the next refresh is due."""

_log = logging.getLogger(__name__)


class Contender(Protocol):
    """A client under load.

    Attributes:
        attempts: moments at which its driver was asked to connect.
    """

    attempts: list[float]

    async def open(self, writers: int) -> None:
        """Open a connection for each writer."""
        ...

    async def write(self, writer: int, key: int) -> None:
        """Write one row; what it raises is what the application sees."""
        ...

    async def recover(self, writer: int, error: Exception) -> None:
        """Do what an application does after an error, so that the writer can go on."""
        ...

    async def close(self) -> None:
        """Close everything, as documented."""
        ...


class Rdskit:
    """``rdskit.connect("rds://CLUSTER")``: one database object for all writers."""

    def __init__(self, entrance: Entrance) -> None:
        import asyncpg

        self.attempts: list[float] = []
        self._entrance = entrance
        connect = asyncpg.connect

        def counted(*args: Any, **options: Any) -> Any:
            self.attempts.append(time.monotonic())
            return connect(*args, **options)

        asyncpg.connect = counted

    async def open(self, writers: int) -> None:
        """Connect; the pool opens what the writers need."""
        import rdskit

        at = self._entrance
        target = f"rds://{at.user}:{at.password}@{at.cluster}/{at.database}"
        self._db = await rdskit.connect(target, max_size=writers)

    async def write(self, writer: int, key: int) -> None:  # noqa: ARG002 - the pool knows no writers
        """Run an autocommit statement."""
        await self._db.execute(INSERT.format(":key"), key=key)

    async def recover(self, writer: int, error: Exception) -> None:
        """Nothing: the next call finds the writer by itself."""

    async def close(self) -> None:
        """Close the database."""
        await self._db.close()


class RdskitRun(Rdskit):
    """The same writes through ``run``, which finds out what became of a lost COMMIT."""

    async def open(self, writers: int) -> None:
        """Open, and make the table that exactly-once needs."""
        await super().open(writers)
        await self._db.setup()

    async def write(self, writer: int, key: int) -> None:  # noqa: ARG002 - the pool knows no writers
        """Run a transaction of one statement."""
        await self._db.run(_insert, args=(key,))


async def _insert(tx: Any, key: int) -> None:
    await tx.execute(INSERT.format(":key"), key=key)


class SyncWrapper:
    """The AWS Advanced Python Wrapper on psycopg: a connection and a thread for each writer."""

    def __init__(self, entrance: Entrance, settings: Mapping[str, Any]) -> None:
        self.attempts: list[float] = []
        self._entrance = entrance
        self._settings = settings
        self._connections: list[Any] = []
        self._threads: list[ThreadPoolExecutor] = []
        _know_hosts(entrance.addresses)

    async def open(self, writers: int) -> None:
        """Open the connections one after the other, as a pool that fills up."""
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix=f"writer-{number}") for number in range(writers)]
        for number in range(writers):
            self._connections.append(await self._in_thread(number, self._connect))

    async def write(self, writer: int, key: int) -> None:
        """Run an autocommit statement."""
        await self._in_thread(writer, self._write, writer, key)

    async def recover(self, writer: int, error: Exception) -> None:
        """Keep a connection that reports a failover of its own; reopen any other."""
        from aws_advanced_python_wrapper.errors import FailoverSuccessError

        if isinstance(error, FailoverSuccessError):
            return
        await self._in_thread(writer, self._drop, writer)
        await asyncio.sleep(_REOPEN_PAUSE)
        self._connections[writer] = await self._in_thread(writer, self._connect)

    async def close(self) -> None:
        """Close each connection, then release the wrapper's resources."""
        from aws_advanced_python_wrapper import release_resources

        for number in range(len(self._connections)):
            await self._in_thread(number, self._drop, number)
        await asyncio.to_thread(release_resources)
        for thread in self._threads:
            thread.shutdown(wait=False)

    async def _in_thread(self, writer: int, work: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads[writer], work, *args)

    def _connect(self) -> Any:
        import psycopg
        from aws_advanced_python_wrapper import AwsWrapperConnection

        def target(conninfo: str = "", **options: Any) -> Any:
            self.attempts.append(time.monotonic())
            return psycopg.Connection.connect(conninfo, **_addressed(options, self._entrance.addresses))

        return AwsWrapperConnection.connect(
            target, _conninfo(self._entrance), autocommit=True, **_options(self._entrance), **self._settings
        )

    def _write(self, writer: int, key: int) -> None:
        with self._connections[writer].cursor() as cursor:
            cursor.execute(INSERT.format("%s"), (key,))

    def _drop(self, writer: int) -> None:
        try:
            self._connections[writer].close()
        except Exception as error:  # noqa: BLE001 - the wrapper's errors have no common base
            _log.debug("a connection of the wrapper could not be closed: %s", error)


class AsyncWrapper:
    """The asyncio wrapper on psycopg: a connection for each writer."""

    def __init__(self, entrance: Entrance, settings: Mapping[str, Any]) -> None:
        self.attempts: list[float] = []
        self._entrance = entrance
        self._settings = settings
        self._connections: list[Any] = []
        _know_hosts(entrance.addresses)

    async def open(self, writers: int) -> None:
        """Open the connections one after the other, as a pool that fills up."""
        for _ in range(writers):
            self._connections.append(await self._connect())

    async def write(self, writer: int, key: int) -> None:
        """Run an autocommit statement."""
        async with self._connections[writer].cursor() as cursor:
            await cursor.execute(INSERT.format("%s"), (key,))

    async def recover(self, writer: int, error: Exception) -> None:
        """Keep a connection that reports a failover of its own; reopen any other."""
        from aws_advanced_python_wrapper.errors import FailoverSuccessError

        if isinstance(error, FailoverSuccessError):
            return
        await self._drop(writer)
        await asyncio.sleep(_REOPEN_PAUSE)
        self._connections[writer] = await self._connect()

    async def close(self) -> None:
        """Close each connection, then release the wrapper's resources."""
        from aws_advanced_python_wrapper.aio.cleanup import release_resources_async

        for number in range(len(self._connections)):
            await self._drop(number)
        await release_resources_async()

    async def _connect(self) -> Any:
        import psycopg
        from aws_advanced_python_wrapper.aio import AsyncAwsWrapperConnection

        async def target(conninfo: str = "", **options: Any) -> Any:
            self.attempts.append(time.monotonic())
            return await psycopg.AsyncConnection.connect(conninfo, **_addressed(options, self._entrance.addresses))

        return await AsyncAwsWrapperConnection.connect(
            target, _conninfo(self._entrance), autocommit=True, **_options(self._entrance), **self._settings
        )

    async def _drop(self, writer: int) -> None:
        try:
            await self._connections[writer].close()
        except Exception as error:  # noqa: BLE001 - the wrapper's errors have no common base
            _log.debug("a connection of the wrapper could not be closed: %s", error)


CONTENDERS: Final[Mapping[str, Any]] = {
    "rdskit": Rdskit,
    "rdskit run": RdskitRun,
    "wrapper sync": lambda entrance: SyncWrapper(entrance, DEFAULTS),
    "wrapper sync, best": lambda entrance: SyncWrapper(entrance, SYNC_BEST),
    "wrapper asyncio": lambda entrance: AsyncWrapper(entrance, DEFAULTS),
    "wrapper asyncio, best": lambda entrance: AsyncWrapper(entrance, ASYNC_BEST),
}


def _conninfo(at: Entrance) -> str:
    return f"host={at.endpoint} port={at.port} dbname={at.database} user={at.user} sslmode=require"


def _options(at: Entrance) -> dict[str, Any]:
    return {
        "password": at.password,
        "wrapper_dialect": "aurora-pg",
        "wrapper_driver_dialect": "psycopg",
        "cluster_instance_host_pattern": at.pattern,
    }


def _addressed(options: dict[str, Any], addresses: Mapping[str, str]) -> dict[str, Any]:
    host = options["host"]
    return {**options, "hostaddr": addresses.get(host, host)}


def _know_hosts(addresses: Mapping[str, str]) -> None:
    """Resolve the cluster's names, as a hosts file does: the wrapper derives names, the local RDS has addresses."""
    resolve = socket.gethostbyname

    def known(name: str) -> str:
        return addresses.get(name) or resolve(name)

    socket.gethostbyname = known
