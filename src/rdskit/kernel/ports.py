"""Ports: the interfaces between the client and its drivers and credentials."""

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
    """A result row: ``row["name"]``, ``row.name``, ``row[0]``; the same for every engine."""

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
        last_id: the id generated for the last inserted row, where the server reports it (MySQL family); else None.
    """

    last_id: int | None

    def __new__(cls, rows: int, last_id: int | None = None) -> Self:
        """Create a result of ``rows`` matched rows."""
        result = super().__new__(cls, rows)
        result.last_id = last_id
        return result


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and its password."""

    user: str
    password: str | None = field(repr=False)


class Credentials(Protocol):
    """A source of logins."""

    async def login(self, endpoint: Endpoint, *, refused: Login | None = None) -> Login:
        """Return user and password for a host.

        Args:
            endpoint: the host to log in to; an IAM token is signed for one host and port.
            refused: the login that the host has just refused. Return another one if there is one, such as a rotated
                password. Returning the same login means that there is no other.
        """
        ...


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """The address and settings of one connection.

    Attributes:
        endpoint: the host.
        database: the database to open, or None for the server's default.
        tls: how to encrypt and verify, or None for an unencrypted connection.
        timeout: seconds for the attempt.
        application_name: the connection's name in the server's views and logs.
        stateless: keep no session state that makes a proxy pin, such as named prepared statements.
        read_only: make the server refuse writes, and do not treat such a refusal as a sign of a failover.
        settings: server settings for this connection; a reset returns to them. Values may be secret.
        cleartext_password: send the password in the clear, if an unverified server asks for it.
        codecs: the codecs of some types.
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
    """How many connections a server accepts.

    Attributes:
        max_connections: the limit for all users together.
        reserved: how many of these ordinary users cannot use.
        allowed: the limit of this user or this database; None for no such limit.
    """

    max_connections: int
    reserved: int
    allowed: int | None = None

    @property
    def room(self) -> int:
        """How many connections an application may open if it is the only client."""
        shared = self.max_connections - self.reserved
        return shared if self.allowed is None else min(shared, self.allowed)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a driver's connections can do. What is False is refused with ``ConfigError``, by the client.

    Attributes:
        transactions: BEGIN, COMMIT and savepoints.
        sessions: the connection keeps what SET and the like change, until it is reset.
        cursors: results that stay on the server.
        bulk: ``insert_many`` is faster than single statements.
        notifications: LISTEN and NOTIFY.
        replication: replication connections.
        positions: the server reports its log's position.
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
    """An error that a driver reports to the client; it never reaches the application.

    Attributes:
        failure: its meaning.
        public: the exception of ``rdskit.errors`` that the application would receive.
    """

    def __init__(self, failure: Failure, public: Exception) -> None:
        super().__init__(str(public))
        self.failure = failure
        self.public = public


Batch = Sequence[Sequence[Any]]
"""Rows, or parameter sets, that are sent together."""


class Batches(Protocol):
    """A source of batches that are built as they are taken; a batch smaller than ``BATCH_ROWS`` is the last."""

    def __aiter__(self) -> AsyncIterator[Batch]: ...

    async def __anext__(self) -> Batch: ...

    def at_hand(self) -> Iterator[Batch] | None:
        """Return an iterator over the remaining batches that never awaits; None if the source is asynchronous."""
        ...


class Cursor(Protocol):
    """A result that stays on the server and is fetched piece by piece."""

    async def fetch(self, count: int, timeout: float | None) -> Sequence[Row]:
        """Return the next rows; fewer than ``count`` mean that there are no more."""
        ...

    async def close(self, timeout: float | None) -> None:
        """Close the cursor and drop the remaining rows on the server."""
        ...


class Connection(Protocol):
    """One open connection.

    Every method raises ``DriverError``. ``timeout`` is in seconds, None for no limit.

    Attributes:
        endpoint: the host.
        broken: the connection cannot be used any more. Also set when the server closes it, as soon as that is noticed.
        interrupted: a call was cancelled or timed out, the server was asked to cancel it, and its response is still
            outstanding. The next call awaits that response first.
    """

    endpoint: Endpoint
    broken: bool
    interrupted: bool

    @property
    def role(self) -> Role:
        """The role that the host has reported, when the connection was opened or later."""
        ...

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    async def fetch_one(self, text: str, args: Sequence[Any], timeout: float | None) -> Row | None:
        """Run a statement and return its first row."""
        ...

    async def fetch_all(self, text: str, args: Sequence[Any], timeout: float | None) -> list[Row]:
        """Run a statement and return all rows."""
        ...

    async def execute(self, text: str, args: Sequence[Any], timeout: float | None) -> Result:
        """Run a statement and return the number of rows that it matched."""
        ...

    async def insert_many(self, insertion: Insertion, batches: Batches) -> int:
        """Insert rows, all or none if a transaction is open and then rolled back on an error.

        Returns:
            How many rows were inserted or updated.

        Raises:
            DriverError: the server refused them, or a value cannot be sent.
            Exception: any exception of the source of the rows, unchanged.
        """
        ...

    async def execute_many(self, text: str, batches: Batches) -> int:
        """Run a statement without result rows for each parameter set; return the total number of rows matched."""
        ...

    async def open_cursor(self, text: str, args: Sequence[Any], timeout: float | None) -> Cursor:
        """Run a query whose rows stay on the server. Needs an open transaction, and ends with it."""
        ...

    async def control(self, text: str, timeout: float | None) -> str:
        """Run BEGIN, COMMIT, ROLLBACK or SAVEPOINT and return the server's command tag."""
        ...

    async def capacity(self, timeout: float | None) -> ServerCapacity:
        """Return how many connections the server accepts."""
        ...

    async def written_position(self, timeout: float | None) -> Position | None:
        """Return the end of the writer's log, such that a replica can reach it; None without positions."""
        ...

    async def reader_progress(self, timeout: float | None) -> ReaderProgress:
        """Return this reader's replay position and lag."""
        ...

    async def enter(self, before: Scope, after: Scope, timeout: float | None) -> None:
        """Switch the session from one scope to another; ``reset`` returns it to no scope.

        Args:
            before: the session's current scope.
            after: the new scope.
            timeout: seconds for all of it.
        """
        ...

    async def reset(self, timeout: float) -> None:
        """Undo every change that a caller made in the session."""
        ...

    async def ping(self, timeout: float) -> None:
        """Make one round trip to the server."""
        ...

    async def close(self, timeout: float) -> None:
        """Send the quit message to the server; abort if that takes longer than ``timeout`` seconds."""
        ...

    def stop(self) -> bool:
        """Ask the server to cancel the running statement; its call then ends with the server's response.

        Returns:
            Whether a request is sent now; False if the driver cannot cancel, or a request was sent before.
        """
        ...

    def abort(self) -> None:
        """Drop the socket at once, without a quit message."""
        ...


@runtime_checkable
class Notifying(Protocol):
    """Additional methods of a connection whose driver has the capability ``notifications``."""

    async def listen(self, channel: str, receive: Callable[[Notification], None], timeout: float | None) -> None:
        """Subscribe to a channel's messages.

        Args:
            channel: its name, in exact spelling.
            receive: called on the event loop with each message.
            timeout: seconds for the server's response.
        """
        ...

    async def unlisten(self, channel: str, timeout: float | None) -> None:
        """Unsubscribe from a channel's messages."""
        ...

    def on_end(self, call: Callable[[], None]) -> None:
        """Call ``call`` when the connection has ended, for whatever reason."""
        ...


@dataclass(frozen=True, slots=True)
class ReaderProgress:
    """A reader's replay progress, as it reports it.

    Attributes:
        replays: whether it is a replica at all (a promoted one is not).
        position: the last position replayed.
        received: the last position received; covers ``position``. ``START`` for a reader that shares the writer's
            storage.
        lag: the age of the last replayed transaction in seconds; 0 when everything received is replayed; infinite
            while replication is stalled.
    """

    replays: bool
    position: Position
    received: Position
    lag: float


class Driver(Protocol):
    """Open connections of one engine.

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
            DriverError: ``public`` is an ``AuthenticationError``, ``TLSError`` or ``ConnectError``.
        """
        ...


@runtime_checkable
class Replicating(Protocol):
    """Additional methods of a driver with the capability ``replication``."""

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
