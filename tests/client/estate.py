"""A made-up DB cluster behind the driver's port, for tests in virtual time: what is tested is the client around it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from rdskit.client.database.opening import open_database
from rdskit.client.failover.access import Access
from rdskit.client.failover.cluster_source import SqlSource
from rdskit.client.failover.views import AURORA_POSTGRES
from rdskit.client.pool import PoolLimits
from rdskit.client.targets.options import Options
from rdskit.client.targets.resolve import Resolved
from rdskit.errors import ConnectError, FailoverError, NoWriterError, QueryTimeout, ReadOnlyError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import Capabilities, DriverError, Login, ReaderProgress, Result, ServerCapacity
from rdskit.kernel.positions import START
from rdskit.kernel.sql import Dialect
from rdskit.kernel.targets import Engine, Target
from rdskit.kernel.topology import Host, Role, Topology
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from rdskit.client.database.database import Database
    from rdskit.kernel.ports import ConnectOptions
    from rdskit.kernel.positions import Position
    from rdskit.kernel.scope import Scope

NAMES: Final = ("one", "two", "three")
OPENING: Final = 0.03  # seconds that a login takes
ANSWER: Final = 0.005  # seconds that a statement takes


class Server:
    """One host.

    Attributes:
        role: what it does.
        silent: behind a black hole.
        down: refuses connections.
        answer: seconds that a statement takes.
        position: what it has written or replayed; None where it tells none.
        says: the host that it takes for the writer.
    """

    def __init__(self, name: str, role: Role) -> None:
        self.name, self.role = name, role
        self.silent = self.down = False
        self.says = NAMES[0]
        self.answer = ANSWER
        self.position: Position | None = None
        self.lines: set[Line] = set()

    def kill(self) -> None:
        """End every connection, and take none."""
        self.down = True
        for line in tuple(self.lines):
            line.abort()


class Line:
    """A connection to a host."""

    def __init__(self, server: Server, endpoint: Endpoint) -> None:
        self.endpoint, self._server = endpoint, server
        self.broken = self.interrupted = self.in_transaction = False
        self._ended = asyncio.get_running_loop().create_future()
        server.lines.add(self)

    @property
    def role(self) -> Role:
        return self._server.role

    async def fetch_all(self, text: str, _args: Sequence[Any], _timeout: float | None) -> list[tuple[Any, ...]]:
        await self._answer()
        if "pg_catalog.pg_proc" in text:
            return []  # no code stands behind any name
        return [(name, name == self._server.says, None) for name in NAMES]

    async def fetch_one(self, _text: str, _args: Sequence[Any], _timeout: float | None) -> None:
        await self._answer()  # the table of markers is not there

    async def execute(self, _text: str, _args: Sequence[Any], _timeout: float | None) -> Result:
        await self._answer()
        if self.role is not Role.WRITER:
            self.broken = True  # as the drivers do: of no use to a caller that wants the writer
            raise DriverError(Failure.READ_ONLY, ReadOnlyError("it reads only"))
        return Result(1)

    async def enter(self, _before: Scope, _after: Scope, _timeout: float | None) -> None:
        await self._answer()

    async def control(self, text: str, _timeout: float | None) -> str:
        await self._answer()
        self.in_transaction = text.startswith("begin")
        return text

    async def written_position(self, _timeout: float | None) -> Position | None:
        await self._answer()
        return self._server.position

    async def reader_progress(self, timeout: float | None) -> ReaderProgress:
        try:
            async with asyncio.timeout(timeout):
                await self._answer()
        except TimeoutError:
            raise DriverError(Failure.TIMEOUT, QueryTimeout("no answer")) from None
        position = self._server.position or START
        return ReaderProgress(self.role is Role.READER, position, position, 0.0)

    async def capacity(self, _timeout: float | None) -> ServerCapacity:
        await self._answer()
        return ServerCapacity(100, 0)

    async def reset(self, _timeout: float) -> None:
        await self._answer()

    async def ping(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._answer()
        except TimeoutError:
            self.broken = True
            raise DriverError(Failure.LOST, ConnectError("no answer")) from None

    async def close(self, _timeout: float) -> None:
        self.abort()

    def abort(self) -> None:
        self.broken = True
        self._server.lines.discard(self)
        if not self._ended.done():
            self._ended.set_result(None)

    async def _answer(self) -> None:
        if not self.broken:
            await asyncio.wait([self._ended], timeout=None if self._server.silent else self._server.answer)
        if self._ended.done():
            self.broken = True
            raise DriverError(Failure.LOST, FailoverError("the connection was cut"))


class Estate:
    """A cluster of three hosts, of which the first writes; the API knows no more than where they are.

    Attributes:
        attempts: when each connection was asked for, on the loop's clock, and of which host.
    """

    def __init__(self) -> None:
        self.servers = {name: Server(name, Role.WRITER if name == NAMES[0] else Role.READER) for name in NAMES}
        self.attempts: list[tuple[float, str]] = []
        self.api_knows = True

    # -- as the API ------------------------------------------------------------------------------------------------

    cluster = "made-up"
    capabilities = Capabilities()
    changes = True
    refresh_interval = 1.0

    async def topology(self) -> Topology:
        if not self.api_knows:
            raise NoWriterError("the API is late")
        return Topology(tuple(Host(name, Endpoint(name, 5432), one.role) for name, one in self.servers.items()))

    # -- as the driver ---------------------------------------------------------------------------------------------

    async def connect(self, options: ConnectOptions, _login: Login) -> Any:
        server = self.servers[options.endpoint.host]
        self.attempts.append((asyncio.get_running_loop().time(), server.name))
        await asyncio.sleep(0 if server.down else OPENING)
        if server.silent:
            await asyncio.sleep(options.timeout)
        if server.silent or server.down:
            raise DriverError(Failure.LOST, ConnectError(f"{server.name} cannot be reached"))
        return Line(server, options.endpoint)

    async def login(self, _endpoint: object, *, refused: Login | None = None) -> Login:
        assert refused is None
        return Login("app", None)

    # -- what happens ----------------------------------------------------------------------------------------------

    def promote(self, name: str) -> None:
        """Have another host write; it knows that at once, and the others later."""
        self.servers[name].role, self.servers[name].says = Role.WRITER, name

    def switch_over(self, name: str) -> None:
        """Have another host write, and end no session: the old writer only refuses writes from now on."""
        for server in self.servers.values():
            server.role, server.says = Role.READER, name
        self.promote(name)

    def demote(self, name: str, writer: str) -> None:
        """Have a host return as a reader."""
        server = self.servers[name]
        server.kill()
        server.role, server.says = Role.READER, writer
        server.silent = server.down = False

    def attempts_since(self, moment: float) -> Counter[str]:
        """Return how often each host was asked for a connection."""
        return Counter(name for at, name in self.attempts if at >= moment)


class Application:
    """Writers that write until they are stopped.

    Attributes:
        db: what they write by.
        latest: when each of them was last acknowledged a write.
        errors: the errors that they got instead.
    """

    def __init__(self, db: Database, writers: int) -> None:
        self.db = db
        self._over = False
        self._wrote = asyncio.Event()
        self.latest = [0.0] * writers
        self.errors: list[Exception] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Application]:
        tasks = [asyncio.ensure_future(self._write(number)) for number in range(len(self.latest))]
        try:
            yield self
        finally:
            self._over = True
            await asyncio.gather(*tasks)

    async def write(self, timeout: float = 30.0) -> None:
        """Make one write."""
        await self.db.execute("insert into load values (1)", timeout=timeout)

    async def all_wrote(self, within: float) -> float:
        """Wait until every writer was acknowledged a write from now on; how long that took."""
        clock = asyncio.get_running_loop().time
        since = clock()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while min(self.latest) <= since:
                    self._wrote.clear()
                    await self._wrote.wait()
        return clock() - since

    async def _write(self, number: int) -> None:
        while not self._over:
            try:
                await self.write()
            except (FailoverError, ConnectError, ReadOnlyError) as error:
                self.errors.append(error)
            else:
                self.latest[number] = asyncio.get_running_loop().time()
                self._wrote.set()
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def connected(
    estate: Estate, *, writers: int = 20, hear: Callable[[Any], None] | None = None, **limits: Any
) -> AsyncIterator[Application]:
    """Return an application with a number of writers, not yet started, and its client."""
    access = Access(estate, estate, database=None, tls=None, connect_timeout=5.0, application_name="test")
    source = SqlSource(estate, access, AURORA_POSTGRES)
    resolved = Resolved(Target(), Engine.POSTGRES, Dialect.POSTGRES, source, access)
    options = Options(
        tls="off",
        limits=PoolLimits(**{"max_size": writers, **limits}),
        observers=(hear,) if hear else (),
    )
    db = await open_database(resolved, options, TaskOwner("test"))
    try:
        yield Application(db, writers)
    finally:
        await db.close()
