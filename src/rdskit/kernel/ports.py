"""What the client asks of a driver and of credentials: the doors behind which implementations are exchanged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ssl import SSLContext

    from rdskit.kernel.codecs import NamedCodec
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.failures import Failure
    from rdskit.kernel.notifications import Notification
    from rdskit.kernel.positions import Position
    from rdskit.kernel.replication import BinlogReplication, LogicalReplication
    from rdskit.kernel.scope import Scope
    from rdskit.kernel.sql import ParameterStyle
    from rdskit.kernel.sql.insert import Insertion
    from rdskit.kernel.topology import Role


Setting = tuple[str, str | int | float]
"""The name of a server setting and its value."""


class Row(Protocol):
    """One row: ``row["name"]``, ``row.name``, ``row[0]``; the same for every engine."""

    def __getitem__(self, key: Any, /) -> Any: ...
    def __getattr__(self, name: str, /) -> Any: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...
    def keys(self) -> Any: ...  # noqa: D102 - a mapping's own names
    def values(self) -> Any: ...  # noqa: D102
    def items(self) -> Any: ...  # noqa: D102
    def get(self, key: str, default: Any = None, /) -> Any: ...  # noqa: D102


class Result(int):
    """How many rows a statement matched: an ``int``.

    Attributes:
        last_id: the id that the engine generated for the last inserted row, where it tells (MySQL family); else None.
    """

    last_id: int | None

    def __new__(cls, rows: int, last_id: int | None = None) -> Self:
        """Make a result of ``rows`` matched rows."""
        result = super().__new__(cls, rows)
        result.last_id = last_id
        return result


@dataclass(frozen=True, slots=True)
class Login:
    """What to log in with."""

    user: str
    password: str | None = field(repr=False)


class Credentials(Protocol):
    """Anything that can say who to log in as."""

    async def login(self, endpoint: Endpoint, *, refused: Login | None = None) -> Login:
        """Return user and password for a host.

        Args:
            endpoint: whom to log in to; an IAM token is signed for one host and port.
            refused: what that host has just refused. Give something else if there is: a password that was rotated. To
                give the same again means that there is nothing else.
        """
        ...


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """Where and how one connection is opened.

    Attributes:
        endpoint: the host.
        database: the database to open, or None for the server's default.
        tls: how to encrypt and verify, or None for a connection in the clear.
        timeout: seconds for the attempt.
        application_name: what the server shows for the connection.
        stateless: keep nothing in the session that a proxy would have to pin, such as named prepared statements.
        read_only: have the server refuse writes, and take that for what it should do, not for a sign of a failover.
        settings: of the server for this connection; a reset returns to them. Texts may be secret.
        cleartext_password: an unverified server may have the password in the clear.
        codecs: how the values of some types are written and read.
    """

    endpoint: Endpoint
    database: str | None
    tls: SSLContext | None
    timeout: float
    application_name: str
    stateless: bool = False
    read_only: bool = False
    settings: tuple[Setting, ...] = field(default=(), repr=False)
    cleartext_password: bool = False
    codecs: tuple[NamedCodec, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerCapacity:
    """How many connections a server takes.

    Attributes:
        max_connections: from everybody together.
        reserved: of these, the ones that ordinary users never get.
        allowed: what this user or this database may have at most; None for no limit of its own.
    """

    max_connections: int
    reserved: int
    allowed: int | None = None

    @property
    def room(self) -> int:
        """What an application may open at most, if nobody else is connected."""
        shared = self.max_connections - self.reserved
        return shared if self.allowed is None else min(shared, self.allowed)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a driver's connections can do. What is False is refused with ``ConfigError``, by the client.

    Attributes:
        transactions: BEGIN, COMMIT and savepoints.
        sessions: the connection keeps what SET and the like change, until it is reset.
        cursors: results that stay on the server.
        bulk: ``insert_many`` sends rows faster than statements do.
        notifications: LISTEN and NOTIFY.
        replication: replication connections.
        positions: the server says how far its log has come.
        pipelining: several statements are under way at once.
        style: how the driver wants parameters; None for the way of its dialect.
    """

    transactions: bool = True
    sessions: bool = True
    cursors: bool = True
    bulk: bool = True
    notifications: bool = False
    replication: bool = False
    positions: bool = True
    pipelining: bool = False
    style: ParameterStyle | None = None


class DriverError(Exception):
    """What a driver reports to the client; it never reaches the application.

    Attributes:
        failure: what it means.
        public: the exception of ``rdskit.errors`` that the application would see.
    """

    def __init__(self, failure: Failure, public: Exception) -> None:
        super().__init__(str(public))
        self.failure = failure
        self.public = public


Batch = Sequence[Sequence[Any]]
"""Rows, or parameter sets, that are handed on together."""


class Batches(Protocol):
    """A source of batches that are built as they are taken; a batch smaller than ``BATCH_ROWS`` is the last."""

    def __aiter__(self) -> AsyncIterator[Batch]: ...

    async def __anext__(self) -> Batch: ...

    def at_hand(self) -> Iterator[Batch] | None:
        """All that is left, for whoever takes it without waiting; None if the source itself waits."""
        ...


class Cursor(Protocol):
    """A result that stays on the server and is fetched piece by piece."""

    async def fetch(self, count: int, timeout: float | None) -> Sequence[Row]:
        """The next rows; fewer than ``count`` mean that there are no more."""
        ...

    async def close(self, timeout: float | None) -> None:
        """Tell the server to drop what is left."""
        ...


class Connection(Protocol):
    """One open connection.

    Every method raises ``DriverError``. ``timeout`` is in seconds, None for no limit.

    Attributes:
        endpoint: the host.
        broken: of no use any more. Set as well when the server ends the connection, as soon as that is noticed.
        interrupted: a call was cancelled or timed out; the server was told, and its answer is still to come. The next
            call waits for that first.
    """

    endpoint: Endpoint
    broken: bool
    interrupted: bool

    @property
    def role(self) -> Role:
        """What the host has said it is: when the connection was opened, or later."""
        ...

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    async def fetch_one(self, text: str, args: Sequence[Any], timeout: float | None) -> Row | None:
        """Run a statement and give its first row."""
        ...

    async def fetch_all(self, text: str, args: Sequence[Any], timeout: float | None) -> list[Row]:
        """Run a statement and give all rows."""
        ...

    async def execute(self, text: str, args: Sequence[Any], timeout: float | None) -> Result:
        """Run a statement and give the number of rows that it matched."""
        ...

    async def insert_many(self, insertion: Insertion, batches: Batches) -> int:
        """Insert rows, all or none if a transaction is open and then rolled back on an error.

        Returns:
            How many rows were inserted or updated.

        Raises:
            DriverError: the server refused them, or a value cannot be sent.
            Exception: whatever the portions raise, as it is.
        """
        ...

    async def execute_many(self, text: str, batches: Batches) -> int:
        """Run a statement that gives no rows for each parameter set; give the number of rows matched in all."""
        ...

    async def open_cursor(self, text: str, args: Sequence[Any], timeout: float | None) -> Cursor:
        """Run a query whose rows stay on the server. Needs an open transaction, and lasts no longer than that."""
        ...

    async def control(self, text: str, timeout: float | None) -> str:
        """Run BEGIN, COMMIT, ROLLBACK or SAVEPOINT and give the server's command tag."""
        ...

    async def capacity(self, timeout: float | None) -> ServerCapacity:
        """Return how many connections the server takes."""
        ...

    async def written_position(self, timeout: float | None) -> Position | None:
        """Where the writer's log ends now, such that a replica can reach it; None if this server keeps no positions."""
        ...

    async def reader_progress(self, timeout: float | None) -> ReaderProgress:
        """Return how far this reader has come."""
        ...

    async def enter(self, before: Scope, after: Scope, timeout: float | None) -> None:
        """Take the session from one scope to another; ``reset`` takes it back to no scope.

        Args:
            before: the scope that it is in.
            after: the one that it is to be in.
            timeout: seconds for all of it.
        """
        ...

    async def reset(self, timeout: float) -> None:
        """Take back everything a caller changed in the session."""
        ...

    async def ping(self, timeout: float) -> None:
        """One round trip."""
        ...

    async def close(self, timeout: float) -> None:
        """Say goodbye to the server; abort when that takes longer than ``timeout`` seconds."""
        ...

    def stop(self) -> bool:
        """Have the server cancel the statement that runs; its call then ends with the server's answer.

        Returns:
            Whether the server is being asked for the first time; False where it cannot be, or was before.
        """
        ...

    def abort(self) -> None:
        """Drop the socket at once."""
        ...


@runtime_checkable
class Notifying(Protocol):
    """What a connection has besides, if its driver has the capability ``notifications``."""

    async def listen(self, channel: str, receive: Callable[[Notification], None], timeout: float | None) -> None:
        """Have the server send a channel's messages from now on.

        Args:
            channel: its name, in exact spelling.
            receive: called on the event loop with each message.
            timeout: seconds for the server's answer.
        """
        ...

    async def unlisten(self, channel: str, timeout: float | None) -> None:
        """Have the server send a channel's messages no more."""
        ...

    def on_end(self, call: Callable[[], None]) -> None:
        """Have ``call`` called when the connection has ended, whatever ended it."""
        ...


@dataclass(frozen=True, slots=True)
class ReaderProgress:
    """What a reader says of itself.

    Attributes:
        replays: whether it is a replica at all (a promoted one is not).
        position: last position replayed.
        received: last position received; covers ``position``. ``START`` of a reader that has the writer's storage.
        lag: seconds that the last replayed transaction lies behind, 0 when everything received is replayed; infinite
            while replication stands still.
    """

    replays: bool
    position: Position
    received: Position
    lag: float


class Driver(Protocol):
    """Opens connections of one engine.

    Attributes:
        capabilities: what its connections can do.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What its connections can do."""
        ...

    async def connect(self, options: ConnectOptions, login: Login) -> Connection:
        """Open a connection and learn its role.

        Raises:
            DriverError: with ``AuthenticationError``, ``TLSError`` or ``ConnectError`` as its public face.
        """
        ...


@runtime_checkable
class Replicating(Protocol):
    """What a driver has besides, if it has the capability ``replication``."""

    @property
    def capabilities(self) -> Capabilities:
        """What its connections can do."""
        ...

    async def replicate(self, options: ConnectOptions, login: Login) -> LogicalReplication | BinlogReplication:
        """Open a replication connection.

        Raises:
            DriverError: as for ``connect``.
        """
        ...


Params = Mapping[str, Any]
