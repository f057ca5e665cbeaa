"""Define ``rdskit.sync.connect`` and the database that it returns."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Self

from rdskit.client.api import DEFAULT, ConnectArguments, belongs_to_this_process, checked, expanded, open_target
from rdskit.runtime.background import wait
from rdskit.runtime.blocks import held_open
from rdskit.sync.held import HeldConnection, Listening
from rdskit.sync.session import Session

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

    from rdskit.client.api import Database as AsyncDatabase
    from rdskit.client.api import Health, Iam, Options, Stats
    from rdskit.kernel.choices import Consistency, Pinning, Pipelining, TlsMode, TopologyMode
    from rdskit.kernel.codecs import Codec
    from rdskit.kernel.events import Observer
    from rdskit.kernel.ports import Credentials
    from rdskit.kernel.topology import Topology


class Database(Session):
    """``rdskit.Database`` without ``await``; many threads may share it.

    A forked child connects again at its first use, so a server may open the database before it forks its workers.
    """

    def __init__(self, target: str, options: Options) -> None:
        self._target = target
        self._options = options
        self._opening = threading.Lock()
        self._opened: AsyncDatabase | None = None
        self._was_closed = False
        self._name = repr(self._database).replace("rdskit.", "rdskit.sync.", 1)  # connects, or raises
        belongs_to_this_process(self, Database._leave_to_parent)

    def __repr__(self) -> str:
        return self._name if self._opened is None else repr(self._opened).replace("rdskit.", "rdskit.sync.", 1)

    @property
    def _database(self) -> AsyncDatabase:
        """The database on the background loop of this process; opened on first use."""
        if self._opened is None:
            with self._opening:
                if self._opened is None:
                    self._opened = wait(open_target(self._target, self._options))
        return self._opened

    def _leave_to_parent(self) -> None:
        """Reopen at the next use in a forked child; called right after the fork."""
        self._opening = threading.Lock()  # another thread of the parent may have held the old lock during the fork
        if self._opened is not None and not self._was_closed:
            self._opened = None
        belongs_to_this_process(self, Database._leave_to_parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def session(self, *, after: str | None = None) -> Iterator[Session]:
        """Narrow "read your writes" to one user or one request; its reads see the writes that ``after`` covers."""
        with held_open(self._database.session(after=after)) as session:
            yield Session(session)

    @contextlib.contextmanager
    def connection(self, host: str | None = None, *, timeout: float | None = DEFAULT) -> Iterator[HeldConnection]:
        """Hold one connection for the length of the block; arguments and errors as for the async method."""
        with held_open(self._database.connection(host, timeout=timeout)) as connection:
            yield HeldConnection(connection)

    @contextlib.contextmanager
    def connections(self, *, timeout: float | None = DEFAULT) -> Iterator[dict[str, HeldConnection]]:
        """Hold one connection to each host for the length of the block, by the hosts' identifiers."""
        with held_open(self._database.connections(timeout=timeout)) as found:
            yield {name: HeldConnection(connection) for name, connection in found.items()}

    def listen(self, *channels: str, queue: int = 1000, timeout: float | None = DEFAULT) -> Listening:
        """Listen to channels of NOTIFY: ``for note in db.listen("jobs")``; PostgreSQL only."""
        return Listening(self._database.listen(*channels, queue=queue, timeout=timeout))

    def topology(self) -> Topology:
        """Return the last known hosts of the cluster."""
        return wait(self._database.topology())

    def stats(self) -> Stats:
        """Return counters and sizes of every pool."""

        async def ask() -> Stats:
            return self._database.stats()

        return wait(ask())

    def health(self) -> Health:
        """Ping every host of the cluster."""
        return wait(self._database.health())

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._was_closed

    def close(self) -> None:
        """Close all connections. May be called twice."""
        self._was_closed = True
        if self._opened is not None:
            wait(self._opened.close())


def connect(
    target: str,
    *,
    credentials: str | Credentials | Iam | None = None,
    tls: TlsMode = "verify-full",
    ca: str | os.PathLike[str] | None = None,
    cleartext_password: bool = False,
    consistency: Consistency = "session",
    readers: str | Iterable[str] = "auto",
    readable: Iterable[str] = (),
    topology: TopologyMode = "auto",
    timeout: float | None = 30.0,
    min_size: int | None = None,
    max_size: int = 10,
    max_waiting: int | None = None,
    connect_timeout: float = 5.0,
    application_name: str = "rdskit",
    settings: Mapping[str, str | int | float] | None = None,
    codecs: Mapping[str, Codec] | None = None,
    observers: Iterable[Observer] = (),
    processes: int | None = None,
    pinning: Pinning = "auto",
    pipeline: Pipelining = "off",
    spill: float | None = None,
    token_key: str | None = None,
) -> Database:
    """Connect to a database; the arguments are those of ``rdskit.connect``.

    Raises:
        RdskitError: an option is invalid, or the writer cannot be used.
    """
    given = ConnectArguments(
        credentials=credentials,
        tls=tls,
        ca=ca,
        cleartext_password=cleartext_password,
        consistency=consistency,
        readers=readers,
        readable=readable,
        topology=topology,
        timeout=timeout,
        min_size=min_size,
        max_size=max_size,
        max_waiting=max_waiting,
        connect_timeout=connect_timeout,
        application_name=application_name,
        settings=settings,
        codecs=codecs,
        observers=observers,
        processes=processes,
        pinning=pinning,
        pipeline=pipeline,
        spill=spill,
        token_key=token_key,
    )
    target, given = expanded(target, given)
    return Database(target, checked(given))
