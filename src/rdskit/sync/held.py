"""Hold connections and receive notifications in code without an event loop."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from rdskit.client.api import DEFAULT
from rdskit.runtime.background import iterate, wait
from rdskit.runtime.blocks import held_open
from rdskit.sync.callbacks import call_all
from rdskit.sync.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import TracebackType

    from rdskit.client.api import HeldConnection as AsyncHeldConnection
    from rdskit.client.api import Listening as AsyncListening
    from rdskit.kernel.choices import Isolation
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.notifications import Notification
    from rdskit.kernel.ports import Params, Result, Row
    from rdskit.kernel.topology import Role

T = TypeVar("T")


class HeldConnection:
    """``rdskit.HeldConnection`` without ``await``, for the length of ``with db.connection() as c``."""

    def __init__(self, connection: AsyncHeldConnection) -> None:
        self._connection = connection

    def __repr__(self) -> str:
        return repr(self._connection).replace("rdskit.", "rdskit.sync.", 1)

    @property
    def endpoint(self) -> Endpoint:
        """The host."""
        return self._connection.endpoint

    @property
    def role(self) -> Role:
        """The role that the host reported."""
        return self._connection.role

    @overload
    def fetch_one(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: None = None,
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> Row | None: ...
    @overload
    def fetch_one(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: type[T],
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> T | None: ...
    def fetch_one(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: Any = None,
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> Any:
        """Run a statement and return its first row, or None; arguments and errors as for ``db.fetch_one``."""
        return wait(self._connection.fetch_one(sql, params, into=into, timeout=timeout, **named))

    @overload
    def fetch_all(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: None = None,
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> list[Row]: ...
    @overload
    def fetch_all(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: type[T],
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> list[T]: ...
    def fetch_all(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: Any = None,
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> Any:
        """Run a statement and return all its rows."""
        return wait(self._connection.fetch_all(sql, params, into=into, timeout=timeout, **named))

    @overload
    def fetch_value(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: None = None,
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> Any: ...
    @overload
    def fetch_value(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: type[T],
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> T | None: ...
    def fetch_value(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: Any = None,
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> Any:
        """Return the first column of a statement's first row, or None; ``into`` is the type that it must have."""
        return wait(self._connection.fetch_value(sql, params, into=into, timeout=timeout, **named))

    def execute(
        self, sql: str, params: Params | None = None, /, *, timeout: float | None = DEFAULT, **named: Any
    ) -> Result:
        """Run a statement and return how many rows it matched."""
        return wait(self._connection.execute(sql, params, timeout=timeout, **named))

    @contextlib.contextmanager
    def transaction(
        self, *, isolation: Isolation | None = None, read_only: bool = False, timeout: float | None = None
    ) -> Iterator[Transaction]:
        """Open a transaction on this connection; it commits when the block ends, and rolls back when it raises."""
        opening = self._connection.transaction(isolation=isolation, read_only=read_only, timeout=timeout)
        committed: list[Callable[[], Any]] = []
        with held_open(opening) as transaction:
            yield Transaction(transaction, committed)
        call_all(committed)

    def listen(self, *channels: str) -> Generator[Notification, None, None]:
        """Yield the messages of channels; PostgreSQL only. ``db.listen`` survives failovers; this does not."""
        return iterate(lambda: self._connection.listen(*channels), 1)


class Listening:
    """An iterator over the messages of some channels, like that of ``rdskit.Database.listen``."""

    def __init__(self, listening: AsyncListening) -> None:
        self._listening = listening

    def __enter__(self) -> Self:
        wait(self._listening.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wait(self._listening.__aexit__(kind, error, trace))

    def __iter__(self) -> Generator[Notification, None, None]:  # noqa: PYI058 - the caller may close it
        """Yield each message as it arrives; ``close()`` the iterator to end it early."""
        return iterate(self._listening.__aiter__, 1)
