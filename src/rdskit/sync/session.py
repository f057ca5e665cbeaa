"""Define the session for code without an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import queue
from typing import TYPE_CHECKING, Any, Concatenate, TypeVar, TypeVarTuple, overload

from rdskit.client.api import DEFAULT, KEEP, fingerprint_of, name_of
from rdskit.errors import ConfigError
from rdskit.kernel.arguments import call_arguments, require_function
from rdskit.runtime.background import background, iterate, run_and_settle, send_from_here, wait
from rdskit.runtime.blocks import held_open
from rdskit.sync.callbacks import call_all
from rdskit.sync.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence

    from rdskit.client.api import Page, Source
    from rdskit.client.api import Session as AsyncSession
    from rdskit.client.api import Transaction as AsyncTransaction
    from rdskit.kernel.choices import Isolation
    from rdskit.kernel.ports import Params, Result, Row
    from rdskit.kernel.sql.insert import OnConflict

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Session:
    """``rdskit.client.database.session.Session`` without ``await``: one user of a database, or one request."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    @property
    def _database(self) -> AsyncSession:
        return self._session

    @overload
    def fetch_one(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: None = None,
        timeout: float | None = DEFAULT,
        after: str | None = None,
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
        after: str | None = None,
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
        after: str | None = None,
        **named: Any,
    ) -> Any:
        """Run a statement and return its first row, or None; arguments and errors as for the async method."""
        return wait(self._database.fetch_one(sql, params, into=into, timeout=timeout, after=after, **named))

    @overload
    def fetch_all(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: None = None,
        timeout: float | None = DEFAULT,
        after: str | None = None,
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
        after: str | None = None,
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
        after: str | None = None,
        **named: Any,
    ) -> Any:
        """Run a statement and return all its rows."""
        return wait(self._database.fetch_all(sql, params, into=into, timeout=timeout, after=after, **named))

    @overload
    def fetch_value(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: None = None,
        timeout: float | None = DEFAULT,
        after: str | None = None,
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
        after: str | None = None,
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
        after: str | None = None,
        **named: Any,
    ) -> Any:
        """Return the first column of a statement's first row, or None; ``into`` is the type that it must have."""
        return wait(self._database.fetch_value(sql, params, into=into, timeout=timeout, after=after, **named))

    def execute(
        self, sql: str, params: Params | None = None, /, *, timeout: float | None = DEFAULT, **named: Any
    ) -> Result:
        """Run a statement and return the number of rows that it matched."""
        return wait(self._database.execute(sql, params, timeout=timeout, **named))

    def insert_many(
        self,
        table: str,
        rows: Source,
        *,
        on_conflict: OnConflict | None = None,
        key: Sequence[str] = (),
        conflict_where: str | None = None,
        index: str | None = None,
        timeout: float | None = DEFAULT,
    ) -> Result:
        """Insert many rows, all or none; an iterator is read in the caller's thread."""
        options: dict[str, Any] = {"on_conflict": on_conflict, "key": key, "timeout": timeout}
        options |= {"conflict_where": conflict_where, "index": index}
        return send_from_here(rows, lambda source: self._database.insert_many(table, source, **options))

    def execute_many(self, sql: str, sets: Source, *, timeout: float | None = DEFAULT) -> Result:
        """Run a statement for each parameter set, all in one transaction."""
        return send_from_here(sets, lambda source: self._database.execute_many(sql, source, timeout=timeout))

    @overload
    def stream(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: None = None,
        batch: int = ...,
        timeout: float | None = ...,
        after: str | None = ...,
        **named: Any,
    ) -> Generator[Row, None, None]: ...
    @overload
    def stream(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: type[T],
        batch: int = ...,
        timeout: float | None = ...,
        after: str | None = ...,
        **named: Any,
    ) -> Generator[T, None, None]: ...
    def stream(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: Any = None,
        batch: int = 1000,
        timeout: float | None = DEFAULT,
        after: str | None = None,
        **named: Any,
    ) -> Generator[Any, None, None]:
        """Read a query row by row, from a cursor on the server; ``close()`` the iterator to end it early."""
        options: dict[str, Any] = {"into": into, "batch": batch, "timeout": timeout, "after": after}
        return iterate(lambda: self._database.stream(sql, params, **options, **named), batch)

    @overload
    def pages(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        key: str | Sequence[str],
        into: None = None,
        size: int = ...,
        after: str | None = ...,
        before: str | None = ...,
        timeout: float | None = ...,
        **named: Any,
    ) -> Generator[Page[Row], None, None]: ...
    @overload
    def pages(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        key: str | Sequence[str],
        into: type[T],
        size: int = ...,
        after: str | None = ...,
        before: str | None = ...,
        timeout: float | None = ...,
        **named: Any,
    ) -> Generator[Page[T], None, None]: ...
    def pages(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        key: str | Sequence[str],
        into: Any = None,
        size: int = 100,
        after: str | None = None,
        before: str | None = None,
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> Generator[Page[Any], None, None]:
        """Read a query page by page."""
        options: dict[str, Any] = {"into": into, "size": size, "after": after, "before": before, "timeout": timeout}
        return iterate(lambda: self._database.pages(sql, params, key=key, **options, **named), 1)

    @contextlib.contextmanager
    def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        deferrable: bool = False,
        exactly_once: bool | None = None,
        timeout: float | None = None,
    ) -> Iterator[Transaction]:
        """Open a transaction on the writer; it commits when the block ends, and rolls back when it raises."""
        opening = self._database.transaction(
            isolation=isolation,
            read_only=read_only,
            deferrable=deferrable,
            exactly_once=exactly_once,
            timeout=timeout,
        )
        committed: list[Callable[[], Any]] = []
        with held_open(opening) as transaction:
            yield Transaction(transaction, committed)
        call_all(committed)

    @overload
    def run(
        self,
        closure: Callable[[Transaction, *Ts], T],
        *,
        args: tuple[*Ts],
        kwargs: None = None,
        isolation: Isolation | None = ...,
        exactly_once: bool | None = ...,
        timeout: float | None = ...,
    ) -> T: ...
    @overload
    def run(
        self,
        closure: Callable[[Transaction], T],
        *,
        args: tuple[()] = (),
        kwargs: None = None,
        isolation: Isolation | None = ...,
        exactly_once: bool | None = ...,
        timeout: float | None = ...,
    ) -> T: ...
    @overload
    def run(
        self,
        closure: Callable[Concatenate[Transaction, ...], T],
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any],
        isolation: Isolation | None = ...,
        exactly_once: bool | None = ...,
        timeout: float | None = ...,
    ) -> T: ...
    def run(
        self,
        closure: Callable[..., T],
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        isolation: Isolation | None = None,
        exactly_once: bool | None = None,
        timeout: float | None = DEFAULT,
    ) -> T:
        """Run ``closure(tx, *args, **kwargs)`` in a transaction, and retry all of it after a conflict or failover."""
        options: dict[str, Any] = {"isolation": isolation, "exactly_once": exactly_once, "timeout": timeout}
        called, named = call_arguments(args, kwargs)
        call = functools.partial(_call_with, require_function("closure", closure), called, named)
        answer: T = self._in_turns(closure, call, lambda attempt: self._database.run(attempt, **options))
        return answer

    def run_once(
        self,
        key: str,
        closure: Callable[..., Any],
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        scope: str = "",
        fingerprint: str | None = None,
        keep: float = KEEP,
        timeout: float | None = DEFAULT,
    ) -> Any:
        """Run ``closure(tx, *args, **kwargs)`` like ``run``, but once per key; later calls get the same answer."""
        called, named = call_arguments(args, kwargs)
        told = fingerprint or fingerprint_of(called, named)
        options: dict[str, Any] = {"scope": scope, "fingerprint": told, "keep": keep, "timeout": timeout}
        call = functools.partial(_call_with, require_function("closure", closure), called, named)
        return self._in_turns(closure, call, lambda attempt: self._database.run_once(key, attempt, **options))

    def _in_turns(
        self,
        closure: Callable[..., Any],
        call: Callable[[Transaction], T],
        start: Callable[[Callable[[AsyncTransaction], Coroutine[Any, Any, T]]], Coroutine[Any, Any, T]],
    ) -> T:
        """Run transactions on the background loop, and their closures in this thread."""
        turns: queue.SimpleQueue[tuple[AsyncTransaction, asyncio.Future[T]] | None] = queue.SimpleQueue()
        committed: list[Callable[[], Any]] = []

        async def attempt(transaction: AsyncTransaction) -> T:
            answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            turns.put((transaction, answer))
            return await answer

        attempt.__wrapped__ = closure  # type: ignore[attr-defined]  # errors and events call the attempt by its name
        loop = background.loop()
        future = asyncio.run_coroutine_threadsafe(start(attempt), loop)
        # None ends the loop below. A retry puts one more turn before it, so the closure runs once per attempt.
        future.add_done_callback(lambda _: turns.put(None))
        try:
            while (turn := turns.get()) is not None:
                transaction, answer = turn
                run_and_settle(loop, answer, functools.partial(call, Transaction(transaction, committed)))
            result = future.result()
        except BaseException:
            future.cancel()  # Ctrl-C in this thread must not leave the transaction open on the loop
            raise
        # The loop registers a callback only after its commit, so this list holds those of the committed attempt.
        call_all(committed)
        return result

    @contextlib.contextmanager
    def lock(self, name: str, *, timeout: float | None = DEFAULT) -> Iterator[None]:
        """Hold an advisory lock for the length of a block, which ends with ``FailoverError`` if the lock is lost."""
        with held_open(self._database.lock(name, timeout=timeout)):
            yield

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._session.closed

    def close(self) -> None:
        """End the session: it refuses further calls; running ones continue."""
        wait(self._session.close())

    def setup(self) -> tuple[str, ...]:
        """Create the tables of rdskit that are missing in this database, and return their names; may be repeated."""
        return wait(self._database.setup())

    def token(self, *, timeout: float | None = DEFAULT) -> str:
        """Return a token for all writes through this object so far: ``fetch_all(…, after=token)`` sees them."""
        return wait(self._database.token(timeout=timeout))


def _call_with(closure: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], transaction: Transaction) -> T:
    answer = closure(transaction, *args, **kwargs)
    if inspect.iscoroutine(answer):
        answer.close()
        raise ConfigError(f"{name_of(closure)} is an `async def` function: give rdskit.sync a plain one")
    return answer
