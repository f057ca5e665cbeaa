"""Define the transaction for code without an event loop."""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any, TypeVar, overload

from rdskit.client.api import name_of
from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_function
from rdskit.runtime.background import iterate, send_from_here, wait
from rdskit.runtime.blocks import held_open

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from rdskit.client.api import Source
    from rdskit.client.api import Transaction as AsyncTransaction
    from rdskit.kernel.ports import Params, Result, Row
    from rdskit.kernel.sql.insert import OnConflict

T = TypeVar("T")


class Transaction:
    """``rdskit.client.transactions.Transaction`` without ``await``."""

    def __init__(self, transaction: AsyncTransaction, committed: list[Callable[[], Any]]) -> None:
        self._transaction = transaction
        self._committed = committed

    @overload
    def fetch_one(
        self, sql: str, params: Params | None = None, /, *, into: None = None, **named: Any
    ) -> Row | None: ...
    @overload
    def fetch_one(self, sql: str, params: Params | None = None, /, *, into: type[T], **named: Any) -> T | None: ...
    def fetch_one(self, sql: str, params: Params | None = None, /, *, into: Any = None, **named: Any) -> Any:
        """Run a statement and return its first row, or None."""
        return wait(self._transaction.fetch_one(sql, params, into=into, **named))

    @overload
    def fetch_all(self, sql: str, params: Params | None = None, /, *, into: None = None, **named: Any) -> list[Row]: ...
    @overload
    def fetch_all(self, sql: str, params: Params | None = None, /, *, into: type[T], **named: Any) -> list[T]: ...
    def fetch_all(self, sql: str, params: Params | None = None, /, *, into: Any = None, **named: Any) -> Any:
        """Run a statement and return all its rows."""
        return wait(self._transaction.fetch_all(sql, params, into=into, **named))

    @overload
    def fetch_value(self, sql: str, params: Params | None = None, /, *, into: None = None, **named: Any) -> Any: ...
    @overload
    def fetch_value(self, sql: str, params: Params | None = None, /, *, into: type[T], **named: Any) -> T | None: ...
    def fetch_value(self, sql: str, params: Params | None = None, /, *, into: Any = None, **named: Any) -> Any:
        """Return the first column of a statement's first row, or None; ``into`` is the type that it must have."""
        return wait(self._transaction.fetch_value(sql, params, into=into, **named))

    def execute(self, sql: str, params: Params | None = None, /, **named: Any) -> Result:
        """Run a statement and return the number of rows that it matched."""
        return wait(self._transaction.execute(sql, params, **named))

    def insert_many(
        self,
        table: str,
        rows: Source,
        *,
        on_conflict: OnConflict | None = None,
        key: Sequence[str] = (),
        conflict_where: str | None = None,
        index: str | None = None,
    ) -> Result:
        """Insert many rows, all or none."""
        options: dict[str, Any] = {"on_conflict": on_conflict, "key": key}
        options |= {"conflict_where": conflict_where, "index": index}
        return send_from_here(rows, lambda source: self._transaction.insert_many(table, source, **options))

    def execute_many(self, sql: str, sets: Source) -> Result:
        """Run a statement for each parameter set, all or none."""
        return send_from_here(sets, lambda source: self._transaction.execute_many(sql, source))

    @overload
    def stream(
        self, sql: str, params: Params | None = None, /, *, batch: int = ..., into: None = None, **named: Any
    ) -> Generator[Row, None, None]: ...
    @overload
    def stream(
        self, sql: str, params: Params | None = None, /, *, batch: int = ..., into: type[T], **named: Any
    ) -> Generator[T, None, None]: ...
    def stream(
        self, sql: str, params: Params | None = None, /, *, batch: int = 1000, into: Any = None, **named: Any
    ) -> Generator[Any, None, None]:
        """Read a query row by row, from a cursor on the server."""
        return iterate(lambda: self._transaction.stream(sql, params, batch=batch, into=into, **named), batch)

    def on_commit(self, callback: Callable[[], Any]) -> None:
        """Call a function in this thread after the commit; what it raises is logged."""
        if inspect.iscoroutinefunction(require_function("callback", callback)):
            raise ConfigError(
                f"{name_of(callback)} is an `async def` function: give on_commit of rdskit.sync a plain one"
            )
        self._transaction.on_commit(lambda: self._committed.append(callback))

    def lock(self, name: str, *, timeout: float | None = None) -> None:
        """Take an advisory lock, and hold it until this transaction ends."""
        wait(self._transaction.lock(name, timeout=timeout))

    def publish(self, topic: str, key: str | None, payload: Any, headers: Mapping[str, str] | None = None) -> int:
        """Write a message into the outbox, to be delivered if this transaction commits; return its id."""
        return wait(self._transaction.publish(topic, key, payload, headers))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a savepoint; if the block ends with an exception, only its own changes are rolled back."""
        with held_open(self._transaction.transaction()):
            yield self
