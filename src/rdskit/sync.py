"""The sync facade: the same database for code without an event loop.

One background thread runs the event loop of all databases of the process. Callers wait in their own threads, and code
given to ``run`` and inside ``transaction`` runs in the caller's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import queue
import threading
from typing import TYPE_CHECKING, Any, Self, TypeVar

from rdskit.client.api import (
    DEFAULT,
    KEEP,
    ConnectArguments,
    belongs_to_this_process,
    checked,
    fingerprint_of,
    name_of,
    open_target,
)
from rdskit.errors import ConfigError
from rdskit.kernel.arguments import call_arguments, require_function
from rdskit.runtime.background import background, iterate, send_from_here, take_turn, wait
from rdskit.runtime.blocks import held_open

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from rdskit.client.api import Database as AsyncDatabase
    from rdskit.client.api import Health, Iam, Options, Page, Source, Stats
    from rdskit.client.api import Session as AsyncSession
    from rdskit.client.api import Transaction as AsyncTransaction
    from rdskit.kernel.events import Observer
    from rdskit.kernel.ports import Credentials, Params, Result
    from rdskit.kernel.sql.insert import OnConflict
    from rdskit.kernel.topology import Topology

__all__ = ["Database", "Session", "Transaction", "connect", "wait"]

T = TypeVar("T")
_log = logging.getLogger("rdskit.transactions")


class Transaction:
    """``rdskit.client.transactions.Transaction`` without ``await``."""

    def __init__(self, transaction: AsyncTransaction, committed: list[Callable[[], Any]]) -> None:
        self._transaction = transaction
        self._committed = committed

    def fetch_one(self, sql: str, params: Params | None = None, /, *, into: Any = None, **named: Any) -> Any:
        """Run a statement and give its first row, or None."""
        return wait(self._transaction.fetch_one(sql, params, into=into, **named))

    def fetch_all(self, sql: str, params: Params | None = None, /, *, into: Any = None, **named: Any) -> list[Any]:
        """Run a statement and give all its rows."""
        rows: list[Any] = wait(self._transaction.fetch_all(sql, params, into=into, **named))
        return rows

    def fetch_value(self, sql: str, params: Params | None = None, /, **named: Any) -> Any:
        """Run a statement and give the first column of its first row, or None."""
        return wait(self._transaction.fetch_value(sql, params, **named))

    def execute(self, sql: str, params: Params | None = None, /, **named: Any) -> Result:
        """Run a statement and give the number of rows that it matched."""
        return wait(self._transaction.execute(sql, params, **named))

    def insert_many(
        self, table: str, rows: Source, *, on_conflict: OnConflict | None = None, key: Sequence[str] = ()
    ) -> Result:
        """Insert many rows, all or none."""
        return send_from_here(
            rows, lambda source: self._transaction.insert_many(table, source, on_conflict=on_conflict, key=key)
        )

    def execute_many(self, sql: str, sets: Source) -> Result:
        """Run a statement for each parameter set, all or none."""
        return send_from_here(sets, lambda source: self._transaction.execute_many(sql, source))

    def stream(
        self, sql: str, params: Params | None = None, /, *, batch: int = 1000, into: Any = None, **named: Any
    ) -> Generator[Any, None, None]:
        """Read a query row by row, from a cursor on the server."""
        return iterate(lambda: self._transaction.stream(sql, params, batch=batch, into=into, **named), batch)

    def on_commit(self, callback: Callable[[], Any]) -> None:
        """Have a function called in this thread once the transaction is committed; what it raises is logged."""
        if inspect.iscoroutinefunction(require_function("callback", callback)):
            raise ConfigError(
                f"{name_of(callback)} is an `async def` function: give on_commit of rdskit.sync a plain one"
            )
        self._transaction.on_commit(lambda: self._committed.append(callback))

    def lock(self, name: str, *, timeout: float | None = None) -> None:
        """Take an advisory lock, which nobody else has until this transaction has ended."""
        wait(self._transaction.lock(name, timeout=timeout))

    def publish(self, topic: str, key: str | None, payload: Any, headers: Mapping[str, str] | None = None) -> int:
        """Write a message into the outbox, delivered if this transaction commits; give its id."""
        return wait(self._transaction.publish(topic, key, payload, headers))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a savepoint: what happens inside is undone alone when the block ends with an exception."""
        with held_open(self._transaction.transaction()):
            yield self


class Session:
    """``rdskit.client.database.session.Session`` without ``await``: one user of a database, or one request."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    @property
    def _database(self) -> AsyncSession:
        return self._session

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
        """Run a statement and give its first row, or None; arguments and errors as for the async method."""
        return wait(self._database.fetch_one(sql, params, into=into, timeout=timeout, after=after, **named))

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
    ) -> list[Any]:
        """Run a statement and give all its rows."""
        rows: list[Any] = wait(self._database.fetch_all(sql, params, into=into, timeout=timeout, after=after, **named))
        return rows

    def fetch_value(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        timeout: float | None = DEFAULT,
        after: str | None = None,
        **named: Any,
    ) -> Any:
        """Run a statement and give the first column of its first row, or None."""
        return wait(self._database.fetch_value(sql, params, timeout=timeout, after=after, **named))

    def execute(
        self, sql: str, params: Params | None = None, /, *, timeout: float | None = DEFAULT, **named: Any
    ) -> Result:
        """Run a statement and give the number of rows that it matched."""
        return wait(self._database.execute(sql, params, timeout=timeout, **named))

    def insert_many(
        self,
        table: str,
        rows: Source,
        *,
        on_conflict: OnConflict | None = None,
        key: Sequence[str] = (),
        timeout: float | None = DEFAULT,
    ) -> Result:
        """Insert many rows, all or none; an iterator is read in the caller's thread."""
        options: dict[str, Any] = {"on_conflict": on_conflict, "key": key, "timeout": timeout}
        return send_from_here(rows, lambda source: self._database.insert_many(table, source, **options))

    def execute_many(self, sql: str, sets: Source, *, timeout: float | None = DEFAULT) -> Result:
        """Run a statement for each parameter set, all in one transaction."""
        return send_from_here(sets, lambda source: self._database.execute_many(sql, source, timeout=timeout))

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
        isolation: str | None = None,
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
        _call(committed)

    def run(
        self,
        closure: Callable[..., T],
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        isolation: str | None = None,
        exactly_once: bool | None = None,
        timeout: float | None = DEFAULT,
    ) -> T:
        """Run ``closure(tx, *args, **kwargs)`` in a transaction, again as a whole after a conflict or a failover."""
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
        """Run ``closure(tx, *args, **kwargs)`` like ``run``, but once for each key; later calls get the same answer."""
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
        """Let the loop run transactions, and this thread what happens inside them."""
        turns: queue.SimpleQueue[tuple[AsyncTransaction, asyncio.Future[T]] | None] = queue.SimpleQueue()
        committed: list[Callable[[], Any]] = []

        async def attempt(transaction: AsyncTransaction) -> T:
            answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            turns.put((transaction, answer))
            return await answer

        attempt.__wrapped__ = closure  # type: ignore[attr-defined]  # errors and events call the attempt by its name
        loop = background.loop()
        future = asyncio.run_coroutine_threadsafe(start(attempt), loop)
        future.add_done_callback(lambda _: turns.put(None))
        try:
            while (turn := turns.get()) is not None:
                transaction, answer = turn
                take_turn(loop, answer, functools.partial(call, Transaction(transaction, committed)))
            result = future.result()
        except BaseException:
            future.cancel()
            raise
        _call(committed)
        return result

    @contextlib.contextmanager
    def lock(self, name: str, *, timeout: float | None = DEFAULT) -> Iterator[None]:
        """Hold an advisory lock for the length of the block; if it is lost, the block ends with ``FailoverError``."""
        with held_open(self._database.lock(name, timeout=timeout)):
            yield

    def setup(self) -> tuple[str, ...]:
        """Make the tables of rdskit that this database has not, and give their names; may be run again."""
        return wait(self._database.setup())

    def token(self, *, timeout: float | None = DEFAULT) -> str:
        """What was written through this object so far, for others to read: ``fetch_all(…, after=token)``."""
        return wait(self._database.token(timeout=timeout))


class Database(Session):
    """``rdskit.Database`` without ``await``; safe for use by many threads.

    A forked child that uses it connects anew, so that a server may open it before it forks its workers.
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
        """Open anew on the next use: this process was forked. Called by the fork itself."""
        self._opening = threading.Lock()  # another thread of the parent may have held the old one
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
        """Narrow "read your writes" to one user or one request; ``after`` is a ``token()`` to begin with."""
        with held_open(self._database.session(after=after)) as session:
            yield Session(session)

    def topology(self) -> Topology:
        """The hosts of the cluster as they were last seen."""
        return wait(self._database.topology())

    def stats(self) -> Stats:
        """Counters and sizes of every pool."""

        async def ask() -> Stats:
            return self._database.stats()

        return wait(ask())

    def health(self) -> Health:
        """Ask every host for a sign of life."""
        return wait(self._database.health())

    @property
    def closed(self) -> bool:
        """Whether it can be used no more."""
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
    tls: str = "verify-full",
    ca: str | os.PathLike[str] | None = None,
    consistency: str = "session",
    readers: str | Iterable[str] = "auto",
    readable: Iterable[str] = (),
    topology: str = "auto",
    timeout: float | None = 30.0,
    min_size: int | None = None,
    max_size: int = 10,
    max_waiting: int | None = None,
    connect_timeout: float = 5.0,
    application_name: str = "rdskit",
    observers: Iterable[Observer] = (),
    processes: int | None = None,
    pinning: str = "auto",
    spill: float | None = None,
    token_key: str | None = None,
) -> Database:
    """Connect to a database; the arguments are those of ``rdskit.connect``.

    Raises:
        RdskitError: an option is wrong, or the writer cannot be used.
    """
    given = ConnectArguments(
        credentials=credentials,
        tls=tls,
        ca=ca,
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
        observers=observers,
        processes=processes,
        pinning=pinning,
        spill=spill,
        token_key=token_key,
    )
    return Database(target, checked(given))


def _call_with(closure: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], transaction: Transaction) -> T:
    answer = closure(transaction, *args, **kwargs)
    if inspect.iscoroutine(answer):
        answer.close()
        raise ConfigError(f"{name_of(closure)} is an `async def` function: give rdskit.sync a plain one")
    return answer


def _call(callbacks: list[Callable[[], Any]]) -> None:
    """Call what ``on_commit`` was given; an error must not look as if the transaction had failed."""
    for callback in callbacks:
        try:
            callback()
        except Exception:  # noqa: BLE001 - the application's own code; logged, and never taken for a failed transaction
            _log.exception("on_commit(%r) raised; the transaction is committed all the same", callback)
