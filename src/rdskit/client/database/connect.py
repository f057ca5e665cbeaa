"""``rdskit.connect``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rdskit.client.database.database import Database, open_database
from rdskit.client.database.options import Options
from rdskit.client.database.resolve import resolve
from rdskit.client.pool import PoolLimits
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    import os
    from collections.abc import Generator
    from types import TracebackType

    from rdskit.kernel.ports import Credentials


class Connecting:
    """A database that is being connected: await it, or use it in ``async with``."""

    def __init__(self, target: str, options: Options) -> None:
        self._target = target
        self._options = options
        self._database: Database | None = None

    def __await__(self) -> Generator[Any, None, Database]:
        return self._open().__await__()

    async def __aenter__(self) -> Database:
        self._database = await self._open()
        return self._database

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._database is not None:
            await self._database.close()

    async def _open(self) -> Database:
        owner = TaskOwner("database")
        try:
            return await open_database(await resolve(self._target, self._options, owner), self._options, owner)
        except BaseException:
            await owner.close()
            raise


def connect(
    target: str,
    *,
    credentials: str | Credentials | None = None,
    tls: str = "verify-full",
    ca: str | os.PathLike[str] | None = None,
    consistency: str = "session",
    readers: str = "auto",
    timeout: float | None = 30.0,
    min_size: int = 2,
    max_size: int = 10,
    max_waiting: int | None = None,
    connect_timeout: float = 5.0,
    application_name: str = "rdskit",
) -> Connecting:
    """Connect to a database: ``async with rdskit.connect(…) as db`` or ``db = await rdskit.connect(…)``.

    Args:
        target: ``postgresql://[user[:password]@]host[:port]/dbname``, ``rds://[user[:password]@]IDENTIFIER[/dbname]``
            or ``secretsmanager:ID[/dbname]``.
        credentials: ``"env"``, ``"secretsmanager:ID"``, or any object with the port's ``login()``; None takes user and
            password from the target, else from the environment.
        tls: ``"verify-full"``, ``"require"`` or ``"off"``.
        ca: a PEM file with an authority to trust besides those of RDS; ``RDSKIT_CA`` adds another.
        consistency: where reads may go: ``"session"`` (a replica that shows what was written through this object),
            ``"strong"`` (the writer) or ``"eventual"`` (any replica).
        readers: ``"auto"`` uses the read replicas that the topology shows, ``"off"`` only the writer.
        timeout: default deadline of a call in seconds, retries included; None for no limit.
        min_size: connections kept open to each host.
        max_size: connections open at most to each host.
        max_waiting: callers that may wait for one at most; ten for each connection if None.
        connect_timeout: seconds for one attempt to open a connection.
        application_name: what the server shows for these connections.

    Raises:
        ConfigError: an option is wrong; what needs the network is raised when the result is awaited or entered.
    """
    limits = PoolLimits(
        min_size=min(min_size, max_size),
        max_size=max_size,
        max_waiting=10 * max_size if max_waiting is None else max_waiting,
        connect_timeout=connect_timeout,
    )
    options = Options(
        credentials=credentials,
        tls=tls,
        ca=ca,
        consistency=consistency,
        readers=readers,
        timeout=timeout,
        limits=limits,
        application_name=application_name,
    )
    return Connecting(target, options)
