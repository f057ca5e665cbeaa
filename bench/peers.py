"""What a benchmark of queries needs of an engine: a server, its plain drivers, and the peers on them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aws_advanced_python_wrapper import AwsWrapperConnection

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

AsyncPeer = tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[object]]]
"""One call, and how to close."""
SyncPeer = tuple[Callable[[], object], Callable[[], object]]


class Server(Protocol):
    """A throw-away server with the table that every query here reads."""

    @property
    def host(self) -> str:
        """Where it listens."""
        ...

    @property
    def port(self) -> int:
        """Its port."""
        ...

    @property
    def superuser(self) -> str:
        """Who may do anything."""
        ...

    @property
    def password(self) -> str:
        """The superuser's."""
        ...

    @property
    def pid(self) -> int | None:
        """The process to pin."""
        ...


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine and who is measured on it.

    Attributes:
        name: postgres, mariadb or mysql.
        driver: the plain asynchronous driver, which counts as 1.
        sync_driver: the plain synchronous one.
        gate: what rdskit may cost at most, as a ratio to the driver.
        start: runs a server with its table.
        open_raw: the plain driver.
        open_sync_raw: the plain synchronous driver.
        async_peers: by name; the first is rdskit. What a name holds in brackets is another driver than ``driver``.
        sync_peers: by name.
    """

    name: str
    driver: str
    sync_driver: str
    gate: float
    start: Callable[[Path], AbstractContextManager[Any]]
    open_raw: Callable[[Any], Awaitable[AsyncPeer]]
    open_sync_raw: Callable[[Any], SyncPeer]
    async_peers: Mapping[str, Callable[[Any], Awaitable[AsyncPeer]]]
    sync_peers: Mapping[str, Callable[[Any], SyncPeer]]


def cursor_call(connection: Any, text: str) -> Callable[[], object]:
    """Return a call that runs a query on a synchronous DBAPI connection, with a cursor of its own."""

    def call() -> object:
        with connection.cursor() as cursor:
            cursor.execute(text, (7,))
            return cursor.fetchone()

    return call


def wrapper_peer(connect: Any, server: Server, text: str, **options: Any) -> SyncPeer:
    """Return the AWS wrapper around a synchronous driver's ``connect``, and how to close it."""
    connection = AwsWrapperConnection.connect(
        connect,
        host=server.host,
        port=str(server.port),
        user=server.superuser,
        password=server.password,
        autocommit=True,
        **options,
    )
    return cursor_call(connection, text), connection.close
