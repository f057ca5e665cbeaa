"""One transaction on one connection."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Any, TypeVar, overload

from rdskit.client.statements import (
    Pace,
    calls,
    execute_many,
    insert_many,
    into_all,
    into_one,
    into_value,
    require_stream,
    stream,
)
from rdskit.client.transactions.callbacks import Callbacks
from rdskit.client.transactions.commit_marker import FEATURE
from rdskit.client.transactions.locks import take_lock
from rdskit.client.transactions.outbox import publication
from rdskit.client.transactions.policy import RefusedMarkerError
from rdskit.client.transactions.tables import explained
from rdskit.errors import (
    ConfigError,
    FailoverError,
    OutcomeUnknown,
    QueryError,
    QueryTimeout,
    RdskitError,
    StatementError,
)
from rdskit.kernel.arguments import require_function, require_seconds, require_text
from rdskit.kernel.failures import Action, Failure, Phase, action_for
from rdskit.kernel.ports import DriverError, Result
from rdskit.kernel.sql import Dialect, Kind, Statement, StatementCache, bind_call, refuse_listening, sql_expected
from rdskit.kernel.sql.insert import Conflict
from rdskit.runtime.observers import NO_OBSERVERS, Observers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from rdskit.client.pool import Lease
    from rdskit.client.statements import Source
    from rdskit.client.statements.calls import Call
    from rdskit.client.transactions.commit_marker import CommitMarker
    from rdskit.kernel.ports import Params, Row
    from rdskit.kernel.sql.insert import OnConflict
    from rdskit.kernel.writes import TablesWritten
    from rdskit.runtime.deadlines import Deadline

T = TypeVar("T")
_ENDED = "this transaction has ended; open a new one with db.transaction()"
_ABORTED = "25P02"  # SQLSTATE: in a failed transaction
_UNKNOWN = {
    Phase.COMMIT: "COMMIT had been sent, so the transaction may have happened: look for its rows (with the tables of "
    "`rdskit setup TARGET` in the database, that is found out for you)",
    Phase.PROCEDURE: "the procedure may have committed a part of its work, or all: look before you repeat it",
}
_ROLLBACK_TIMEOUT = 2.0  # seconds; then the connection is dropped, which rolls back as well


class Transaction:
    """Statements that happen together or not at all.

    Attributes:
        failure: the error after which nothing of this transaction can be committed, or None.
        reason: what was the matter where the outcome is unknown, in the words of the driver.
        writes: whether anything in it may have changed data.
        may_have_committed: COMMIT was sent for writes.
        met_read_only: the host refused a write because it only reads, which this transaction did not ask of it.
        fence: what a lost COMMIT can be resolved by, or None.
        callbacks: what is called once it is known to be committed.
        observers: who hears of its statements.
        touched: collects the tables that its statements write, where a write hook wants them; else None.
    """

    observers: Observers = NO_OBSERVERS
    touched: TablesWritten | None = None

    def __init__(
        self, lease: Lease, statements: StatementCache, deadline: Deadline, timeout: float | None, *, read_only: bool
    ) -> None:
        self._connection = lease.connection
        self._lease = lease
        self._statements = statements
        self._deadline = deadline
        self._timeout = timeout
        self._read_only = read_only
        self._depth = 0
        self._ended = False
        self._may_be_another = False  # as SET ROLE makes it
        self.writes = False
        self.may_have_committed = False
        self.met_read_only = False
        self.failure: RdskitError | None = None
        self.reason = ""
        self.fence: CommitMarker | None = None
        self.callbacks = Callbacks()

    @overload
    async def fetch_one(
        self, sql: str, params: Params | None = None, /, *, into: None = None, **named: Any
    ) -> Row | None: ...
    @overload
    async def fetch_one(
        self, sql: str, params: Params | None = None, /, *, into: type[T], **named: Any
    ) -> T | None: ...
    async def fetch_one(self, sql: str, params: Params | None = None, /, *, into: Any = None, **named: Any) -> Any:
        """Run a statement and give its first row, or None."""
        row = await self._run(calls.fetch_one, sql, params, named)
        return row if into is None else into_one(row, into)

    @overload
    async def fetch_all(
        self, sql: str, params: Params | None = None, /, *, into: None = None, **named: Any
    ) -> list[Row]: ...
    @overload
    async def fetch_all(self, sql: str, params: Params | None = None, /, *, into: type[T], **named: Any) -> list[T]: ...
    async def fetch_all(self, sql: str, params: Params | None = None, /, *, into: Any = None, **named: Any) -> Any:
        """Run a statement and give all its rows."""
        return into_all(await self._run(calls.fetch_all, sql, params, named), into)

    @overload
    async def fetch_value(
        self, sql: str, params: Params | None = None, /, *, into: None = None, **named: Any
    ) -> Any: ...
    @overload
    async def fetch_value(
        self, sql: str, params: Params | None = None, /, *, into: type[T], **named: Any
    ) -> T | None: ...
    async def fetch_value(self, sql: str, params: Params | None = None, /, *, into: Any = None, **named: Any) -> Any:
        """Return the first column of a statement's first row, or None; ``into`` is the type that it must have."""
        row = await self._run(calls.fetch_one, sql, params, named)
        if into is not None:
            return into_value(row, into)
        return None if row is None else row[0]

    async def execute(self, sql: str, params: Params | None = None, /, **named: Any) -> Result:
        """Run a statement and give the number of rows that it matched."""
        return await self._run(calls.execute, sql, params, named)

    async def insert_many(
        self,
        table: str,
        rows: Source,
        *,
        on_conflict: OnConflict | None = None,
        key: Sequence[str] = (),
        conflict_where: str | None = None,
        index: str | None = None,
    ) -> Result:
        """Insert many rows, all or none; arguments as for the method of the database."""
        async with self.transaction():  # a savepoint: whoever catches the error keeps what was done before
            return await self.send_rows(table, rows, Conflict(on_conflict, key, conflict_where, index))

    async def execute_many(self, sql: str, sets: Source) -> Result:
        """Run a statement for each parameter set, all or none, and give the number of rows matched in all."""
        async with self.transaction():
            return await self.send_sets(sql, sets)

    @overload
    def stream(
        self, sql: str, params: Params | None = None, /, *, batch: int = ..., into: None = None, **named: Any
    ) -> AsyncGenerator[Row, None]: ...
    @overload
    def stream(
        self, sql: str, params: Params | None = None, /, *, batch: int = ..., into: type[T], **named: Any
    ) -> AsyncGenerator[T, None]: ...
    def stream(
        self, sql: str, params: Params | None = None, /, *, batch: int = 1000, into: Any = None, **named: Any
    ) -> AsyncGenerator[Any, None]:
        """Read a query row by row, from a cursor on the server; arguments as for the method of the database."""
        statement, text, args = self._bound(sql, params, named)
        require_stream(statement, batch)
        return self._stream(text, args, batch, into)

    async def send_rows(self, table: str, rows: Source, conflict: Conflict) -> Result:
        """Insert many rows; after an error nothing but a rollback may follow."""
        self._require_alive()
        self.writes = True
        require_text("table", table, example="orders")
        self._lease.dirty = self._lease.dirty or self._statements.table_changes_session(table)

        if self.touched is not None:
            self.touched.add(frozenset({table}))
        dialect, pace = self._statements.dialect, self._pace()
        call = insert_many(self._lease, pace, dialect, table, rows, conflict)
        return Result(await self._call(call, pace.due))

    async def send_sets(self, sql: str, sets: Source) -> Result:
        """Run a statement for each parameter set; after an error nothing but a rollback may follow."""
        statement = self._statements.of(sql)
        self._admit(statement)
        pace = self._pace()
        return Result(
            await self._call(execute_many(self._lease, pace, statement, sets), pace.due, self._phase(statement))
        )

    def on_commit(self, callback: Callable[[], Any]) -> None:
        """Have a function, or coroutine function, called without arguments once the transaction is committed.

        It is called after the connection went back, and never if the transaction, or the nested block in which it was
        given, is undone. What it raises is logged, and does not reach the caller.
        """
        self._require_alive()
        self.callbacks.add(require_function("callback", callback))

    async def lock(self, name: str, *, timeout: float | None = None) -> None:
        """Take an advisory lock, which nobody else has until this transaction has ended.

        Args:
            name: any text; locks of the same name on the same database exclude each other, those of ``db.lock`` too.
            timeout: seconds to wait for it; None for the timeout of ``connect``.

        Raises:
            QueryTimeout: somebody else held it all the time; the transaction is rolled back.
        """
        self._require_alive()
        dialect = self._statements.dialect
        self._lease.dirty = self._lease.dirty or dialect is Dialect.MYSQL  # the reset releases it
        require_text("name", name)
        due = (
            self._due()
            if timeout is None
            else min(self._deadline.due, self._now() + require_seconds("timeout", timeout))
        )
        try:
            await take_lock(self._lease, dialect, name, due, for_transaction=True)
        except DriverError as error:
            raise self._told(error, Phase.TRANSACTION) from error.__cause__

    async def publish(self, topic: str, key: str | None, payload: Any, headers: Mapping[str, str] | None = None) -> int:
        """Write a message into the outbox: the relay delivers it if, and only if, this transaction commits.

        Args:
            topic: what it is about; at most 255 characters.
            key: what it belongs to, such as an order's number; for the receiver.
            payload: anything that JSON can hold.
            headers: more about it, text by text.

        Returns:
            The message's id, by which a receiver recognises one that comes twice.

        Raises:
            ConfigError: the payload is nothing for JSON, or the tables of ``db.setup()`` are missing.
        """
        statement, values = publication(self._statements.dialect, topic, key, payload, headers)
        try:
            if self._statements.dialect is Dialect.POSTGRES:
                return int(await self.fetch_value(statement, values))
            written = await self.execute(statement, values)
        except StatementError as error:
            raise explained(error, "publish()") from error
        assert written.last_id is not None, "the table numbers its rows"
        return written.last_id

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a savepoint: what happens inside is undone alone when the block ends with an exception."""
        self._require_alive()
        self._depth += 1
        name, callbacks = f"rdskit_{self._depth}", len(self.callbacks)
        await self._control(f"savepoint {name}")
        try:
            yield self
        except BaseException as error:
            self.callbacks.keep(callbacks)
            if not isinstance(error, Exception):
                # Nothing is sent while a task is being cancelled, so what the block did stands until the end.
                self.failure = self.failure or _half_done()
            elif self.failure is None and not self._ended and not self._connection.broken:
                await self._control(f"rollback to savepoint {name}")
                await self._control(f"release savepoint {name}")
            raise
        else:
            await self._control(f"release savepoint {name}")
        finally:
            self._depth -= 1

    async def commit(self) -> None:
        """End the transaction; called by the block that opened it.

        Raises:
            OutcomeUnknown: the connection was lost after COMMIT was sent.
            QueryError: the server rolled back instead, because a statement had failed.
        """
        self._ended = True
        if self.failure is not None:
            raise self.failure
        if self._deadline.passed:
            raise QueryTimeout("the deadline passed before COMMIT was sent; the transaction was rolled back")
        fence = await self._usable_fence() if self.writes and self.fence is not None else None
        tag = await self._sent_commit(fence)
        if tag.upper() == "ROLLBACK":
            self.may_have_committed = False
            raise _swallowed()

    async def _sent_commit(self, fence: CommitMarker | None) -> str:
        texts = ("commit",) if fence is None else fence.commit(self._statements.dialect)
        phase, tag = Phase.TRANSACTION, ""
        for text in texts:
            if text is texts[-1]:
                phase, self.may_have_committed = Phase.COMMIT, self.writes
            try:
                tag = await self._lease.run(self._connection.control(text, None), self._due())
            except DriverError as error:
                told = self._told(error, phase)
                if fence is not None:
                    if fence.is_given_up(told, self._now()):
                        self._go_on_without(told, ended=text is texts[-1])
                        continue
                    if isinstance(told, QueryError) and told.sqlstate == _ABORTED:
                        raise _swallowed() from error.__cause__
                raise explained(told, FEATURE) from error.__cause__
        return tag

    async def _usable_fence(self) -> CommitMarker | None:
        """None where nobody asked for one and the role that it may not write is known beforehand.

        On PostgreSQL a refused row ends the transaction, and another attempt is not everybody's to make.
        """
        if self.fence is None or not (self._may_be_another and self.fence.is_unasked):
            return self.fence
        text = self.fence.permission(self._statements.dialect)
        if text is not None and not await self._asked(text):
            self.fence = None
        return self.fence

    async def _asked(self, text: str) -> Any:
        try:
            row = await self._lease.run(self._connection.fetch_one(text, (), None), self._due())
        except DriverError as error:
            told = self._told(error, Phase.TRANSACTION)
            if isinstance(told, QueryError) and told.sqlstate == _ABORTED:
                raise _swallowed() from error.__cause__
            raise told from error.__cause__
        return None if row is None else row[0]

    def _go_on_without(self, told: RdskitError, *, ended: bool) -> None:
        """Commit without a fence that was refused; PostgreSQL has rolled back because of it.

        Raises:
            RefusedMarkerError: the transaction has ended.
        """
        self.fence = None
        if ended:
            self.may_have_committed = False
            raise RefusedMarkerError(f"the transaction was rolled back, as its row in rdskit_txn was refused: {told}")

    async def rollback(self) -> None:
        """Undo everything; a connection that cannot do it any more is dropped, which has the same effect."""
        self._ended = True
        if not self._connection.broken:
            with contextlib.suppress(DriverError):  # the connection is broken then, and the pool drops it
                await self._connection.control("rollback", _ROLLBACK_TIMEOUT)

    def abandon(self) -> None:
        """Refuse whatever is still asked of this transaction: its block has ended."""
        self._ended = True

    async def _run(self, call: Call[T], sql: str, params: Params | None, named: dict[str, Any]) -> T:
        statement, text, args = self._bound(sql, params, named)
        answer = await self._call(call(self._connection, text, args), self._due(), self._phase(statement))
        if not self._connection.in_transaction:
            self.failure = _committed_by(statement)
            self.may_have_committed = self.writes
            raise self.failure
        return answer

    async def _stream(self, text: str, args: Sequence[Any], batch: int, into: Any) -> AsyncGenerator[Any, None]:
        batches = stream(self._lease, text, args, batch, self._due_of_stream, lambda: self._ended)
        try:
            async with contextlib.aclosing(batches):
                async for rows in batches:
                    for row in into_all(rows, into):
                        yield row
        except DriverError as error:
            raise self._told(error, Phase.TRANSACTION) from error.__cause__

    def _bound(self, sql: str, params: Params | None, named: dict[str, Any]) -> tuple[Statement, str, list[Any]]:
        try:
            statement = self._statements[sql]
        except TypeError as error:
            raise sql_expected(sql, error) from None
        sent, args = bind_call(statement, params, named)
        self._admit(statement)
        return statement, sent, args

    def _admit(self, statement: Statement) -> None:
        self._require_usable(statement)
        self.writes = self.writes or not statement.repeatable
        if self.touched is not None and not statement.repeatable:
            self.touched.add(statement.tables.writes)
        self._may_be_another = self._may_be_another or statement.changes_role
        self._lease.dirty = self._lease.dirty or statement.dirties_session

    async def _call(self, call: Coroutine[Any, Any, T], due: float, phase: Phase = Phase.TRANSACTION) -> T:
        try:
            return await self._lease.run(call, due)
        except DriverError as error:
            raise self._told(error, phase) from error.__cause__

    def _phase(self, statement: Statement) -> Phase:
        """PostgreSQL lets no procedure commit inside a transaction block."""
        atomic = statement.atomic or self._statements.dialect is Dialect.POSTGRES
        return Phase.TRANSACTION if atomic else Phase.PROCEDURE

    def _pace(self) -> Pace:
        return Pace(self._lease, self._deadline.due, self._timeout)

    def _require_alive(self) -> None:
        if self._ended:
            raise ConfigError(_ENDED)
        if self.failure is not None:
            raise self.failure

    def _require_usable(self, statement: Statement) -> None:
        self._require_alive()
        refuse_listening(statement)
        if statement.kind is Kind.TRANSACTION and not statement.source.lstrip().lower().startswith("set"):
            raise ConfigError(
                f"{statement.source.strip()!r} is the block's own work: leave it with an exception to roll back, "
                "nest transaction() for a savepoint"
            )

    async def _control(self, text: str) -> None:
        if self._ended:  # the connection may be on another lease by now
            raise ConfigError(_ENDED)
        try:
            await self._lease.run(self._connection.control(text, None), self._due())
        except DriverError as error:
            raise self._told(error, Phase.TRANSACTION) from error.__cause__

    def _told(self, error: DriverError, phase: Phase) -> RdskitError:
        """The one exception that says what became of the transaction."""
        action = action_for(error.failure, phase, writes=self.writes)
        told = error.public
        assert isinstance(told, RdskitError), told
        if error.failure is Failure.READ_ONLY:
            if self._read_only:
                return told
            self.met_read_only = True
        if action is Action.UNKNOWN and self.writes:
            self.reason = str(told)
            told = OutcomeUnknown(f"{told}; {_UNKNOWN[phase]}")
        elif action in {Action.LOST, Action.UNKNOWN}:
            told = FailoverError(f"{told}; the transaction was rolled back: run it again (db.run does so by itself)")
        if error.failure is not Failure.REFUSED:
            self.failure = told
        return told

    def _due(self) -> float:
        whole = self._deadline.at
        if self._timeout is None:
            return math.inf if whole is None else whole
        own = asyncio.get_running_loop().time() + self._timeout
        return own if whole is None or own < whole else whole

    def _due_of_stream(self) -> float:
        self._require_alive()  # the connection is somebody else's by then
        return self._due()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _half_done() -> QueryError:
    return QueryError(
        "a nested transaction() was cancelled in the middle, so the whole transaction was rolled back: let the "
        "cancellation end the outer block too, and open a new transaction"
    )


def _committed_by(statement: Statement) -> QueryError:
    return QueryError(
        f"{statement.source.strip()[:60]!r} ended the transaction: the server commits at DDL, TRUNCATE and the like, "
        "so it and all before it are committed; run such statements outside of a transaction"
    )


def _swallowed() -> QueryError:
    return QueryError(
        "the transaction was rolled back, because a statement in it had failed and the error was swallowed; "
        "let the error end the block, or put the statement into a nested transaction()",
        sqlstate=_ABORTED,
    )
