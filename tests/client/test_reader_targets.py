"""A target that leads to readers only: what a read must see is never asked of the entry, which may be any reader.

The hosts are made up, behind the driver's port; executor, readers and pools are the real ones, in virtual time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import looptime
import pytest

from rdskit.client.database.executor import Executor
from rdskit.client.database.streaming import Reading, Streaming
from rdskit.client.failover import Cluster
from rdskit.client.failover.access import Access
from rdskit.client.pool import PoolLimits
from rdskit.client.replicas import NoWritePosition, Readers, Routines
from rdskit.client.statements import calls
from rdskit.client.statements.hooks import WriteHooks
from rdskit.errors import FailoverError, OutcomeUnknown, QueryError, ReadOnlyError, SerializationError, StaleReadError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import Capabilities, DriverError, Login, ReaderProgress
from rdskit.kernel.positions import START, Lsn, Position
from rdskit.kernel.sql import Dialect, Statement, StatementCache, compile_statement
from rdskit.kernel.topology import Host, Role, Topology
from rdskit.runtime.deadlines import Deadline
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from rdskit.kernel.ports import ConnectOptions

READ = compile_statement("select name from host", Dialect.POSTGRES)
UNKNOWN = compile_statement("select whoami()", Dialect.POSTGRES)
WRITTEN = Lsn(2)
ERRORS: dict[Failure, Exception] = {
    Failure.LOST: FailoverError("lost"),
    Failure.CONFLICT: SerializationError("in the way"),
    Failure.READ_ONLY: ReadOnlyError("it reads only"),
    Failure.UNWELL: QueryError("unwell"),
}


class Line:
    """A connection to a host that tells its name."""

    role = Role.READER

    def __init__(self, endpoint: Endpoint, position: Position, blows: list[Failure]) -> None:
        self.endpoint, self._position, self._blows = endpoint, position, blows
        self.broken = self.interrupted = self.in_transaction = False

    async def fetch_all(self, _text: str, _args: Sequence[Any], _timeout: float | None) -> list[str]:
        await asyncio.sleep(0.001)
        if self.endpoint.host != "entry" and self._blows:
            failure = self._blows.pop(0)
            self.broken = failure is Failure.LOST
            raise DriverError(failure, ERRORS[failure])
        return [self.endpoint.host]

    async def open_cursor(self, text: str, args: Sequence[Any], timeout: float | None) -> Cursor:
        return Cursor(await self.fetch_all(text, args, timeout))

    async def reader_progress(self, _timeout: float | None) -> ReaderProgress:
        return ReaderProgress(replays=True, position=self._position, received=self._position, lag=0.0)

    async def control(self, _text: str, _timeout: float | None) -> str:
        return ""

    async def ping(self, _timeout: float) -> None: ...

    async def reset(self, _timeout: float) -> None: ...

    async def close(self, _timeout: float) -> None: ...

    def abort(self) -> None:
        self.broken = True


class Cursor(NamedTuple):
    rows: list[str]

    async def fetch(self, _count: int, _timeout: float | None) -> list[str]:
        return self.rows

    async def close(self, _timeout: float | None) -> None: ...


class Readable:
    """Readers behind one entry, as the API and as the driver; each read takes the next blow, except at the entry."""

    cluster = "made-up"
    changes = False
    refresh_interval = 1.0
    capabilities = Capabilities()

    def __init__(self, positions: dict[str, Position], blows: Sequence[Failure] = ()) -> None:
        self._positions = {"entry": START, **positions}
        self.blows = list(blows)

    async def topology(self) -> Topology:
        hosts = {name: Host(name, Endpoint(name, 5432), Role.READER) for name in self._positions}
        return Topology(tuple(host for name, host in hosts.items() if name != "entry"), hosts["entry"])

    async def connect(self, options: ConnectOptions, _login: Login) -> Any:
        return Line(options.endpoint, self._positions[options.endpoint.host], self.blows)

    async def login(self, _endpoint: object, *, refused: Login | None = None) -> Login:
        assert refused is None
        return Login("app", None)


def asked(readable: Readable, ask: Callable[[Executor, Cluster], Coroutine[Any, Any, list[str]]]) -> list[str]:
    """Return the answer that a client of the entry gets."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        return runner.run(_asked(readable, ask))


async def _asked(readable: Readable, ask: Callable[[Executor, Cluster], Awaitable[list[str]]]) -> list[str]:
    access = Access(readable, readable, database=None, tls=None, connect_timeout=1.0, application_name="test")
    owner = TaskOwner("test")
    cluster = Cluster(readable, access, PoolLimits(min_size=0, max_size=2), readers=True)
    try:
        await cluster.start(Deadline.after(5))
        readers = Readers(cluster, owner)
        await asyncio.sleep(1)  # until each of them was looked at
        routines = Routines(cluster, StatementCache(Dialect.POSTGRES), owner)
        return await ask(
            Executor(cluster, readers, NoWritePosition(owner), routines, "session", WriteHooks(cluster, owner)), cluster
        )
    finally:
        await owner.close()
        await cluster.close()


def fetched(readable: Readable, statement: Statement, after: Position | None = WRITTEN) -> list[str]:
    async def fetch(executor: Executor, _: Cluster) -> list[Any]:
        return await executor.run(calls.fetch_all, statement, None, {}, 5.0, after)

    return asked(readable, fetch)


def streamed(readable: Readable, statement: Statement) -> list[str]:
    async def stream(executor: Executor, cluster: Cluster) -> list[str]:
        reading = Reading(statement, statement.text, [], 10, Deadline.after(5), None, WRITTEN)
        return [row async for row in Streaming(cluster, executor).rows(reading, None, Deadline.after(5))]

    return asked(readable, stream)


@pytest.mark.parametrize("read", [fetched, streamed])
@pytest.mark.parametrize("failure", [Failure.LOST, Failure.CONFLICT])
def test_a_read_whose_reader_failed_is_answered_by_another_fresh_one(
    read: Callable[[Readable, Statement], list[str]], failure: Failure
) -> None:
    for _ in range(10):
        (host,) = read(Readable({"one": Lsn(2), "two": Lsn(3), "late": Lsn(1)}, [failure]), READ)
        assert host in {"one", "two"}


@pytest.mark.parametrize("read", [fetched, streamed])
def test_a_read_whose_only_fresh_reader_is_lost_is_refused(read: Callable[[Readable, Statement], list[str]]) -> None:
    with pytest.raises(StaleReadError, match="entry:5432 leads to no writer"):
        read(Readable({"fresh": Lsn(2), "late": Lsn(1)}, [Failure.LOST]), READ)


@pytest.mark.parametrize("read", [fetched, streamed])
def test_a_read_that_calls_an_unknown_function_is_answered_by_a_fresh_reader_or_refused(
    read: Callable[[Readable, Statement], list[str]],
) -> None:
    assert read(Readable({"fresh": Lsn(2), "late": Lsn(1)}), UNKNOWN) == ["fresh"]
    with pytest.raises(StaleReadError, match="entry:5432 leads to no writer"):
        read(Readable({"late": Lsn(1)}), UNKNOWN)


def test_a_read_that_calls_an_unknown_function_is_not_repeated_when_its_reader_is_lost() -> None:
    with pytest.raises(OutcomeUnknown):
        fetched(Readable({"one": Lsn(2), "two": Lsn(2)}, [Failure.LOST]), UNKNOWN)


def test_a_function_that_writes_is_refused_once() -> None:
    readable = Readable({"one": Lsn(2), "two": Lsn(2)}, [Failure.READ_ONLY] * 2)
    with pytest.raises(ReadOnlyError):
        fetched(readable, UNKNOWN)
    assert readable.blows == [Failure.READ_ONLY]


def test_readers_that_are_in_trouble_or_in_the_way_are_not_asked_for_ever() -> None:
    for failure in (Failure.UNWELL, Failure.CONFLICT):
        with pytest.raises((QueryError, StaleReadError)):
            fetched(Readable({"one": Lsn(2), "two": Lsn(2), "three": Lsn(2)}, [failure] * 100), READ)


def test_a_read_that_must_see_nothing_is_answered_by_the_entry_where_no_reader_is_left() -> None:
    assert fetched(Readable({"one": Lsn(2)}, [Failure.LOST]), READ, START) == ["entry"]
    assert fetched(Readable({}), UNKNOWN, START) == ["entry"]
