"""Run statements in one transaction, on one connection of the writer."""

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
    Phase.COMMIT: "COMMIT had been sent, so the transaction may have committed: check for its rows (with the tables of "
    "`rdskit setup TARGET` in the database, rdskit finds out by itself)",
    Phase.PROCEDURE: "the procedure may have committed a part of its work, or all: check before you call it again",
}
_ROLLBACK_TIMEOUT = 2.0  # seconds; then the connection is closed, which rolls back as well


class Transaction:
    """Statements that take effect together or not at all.

    Attributes:
        failure: the error after which this transaction can no longer commit, or None.
        reason: the driver's message, where the outcome is unknown.
        writes: whether any statement may have changed data.
        may_have_committed: COMMIT was sent after writes.
        met_read_only: the host refused a write because it is read-only, although this transaction is not.
        commit_marker: the row that resolves a lost COMMIT, or None.
        callbacks: functions to call after the commit.
        observers: are notified of its statements.
        touched: collects the tables that its statements write, for write hooks; else None.
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
        self._role_may_differ = False  # true after SET ROLE and the like
        self.writes = False
        self.may_have_committed = False
        self.met_read_only = False
        self.failure: RdskitError | None = None
        self.reason = ""
        self.commit_marker: CommitMarker | None = None
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
        """Run a statement and return its first row, or None."""
        row = await self._run(calls.fetch_one, sql, params, named)
        return row if into is None else into_one(row, into)

    @overload
    async def fetch_all(
        self, sql: str, params: Params | None = None, /, *, into: None = None, **named: Any
    ) -> list[Row]: ...
    @overload
    async def fetch_all(self, sql: str, params: Params | None = None, /, *, into: type[T], **named: Any) -> list[T]: ...
    async def fetch_all(self, sql: str, params: Params | None = None, /, *, into: Any = None, **named: Any) -> Any:
        """Run a statement and return all its rows."""
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
        """Run a statement and return the number of rows that it matched."""
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
        async with self.transaction():  # a savepoint: a caller that catches the error keeps its earlier changes
            return await self.send_rows(table, rows, Conflict(on_conflict, key, conflict_where, index))

    async def execute_many(self, sql: str, sets: Source) -> Result:
        """Run a statement for each parameter set, all or none, and return the total of rows matched."""
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
        """Insert many rows; after an error the caller has to roll back."""
        self._require_alive()
        self.writes = True
        require_text("table", table, example="orders")
        if self._statements.rewriter is not None:
            rows = self._statements.rewriter.rows(table, rows, self._lease.scope.tenant)
        self._lease.dirty = self._lease.dirty or self._statements.table_changes_session(table)

        if self.touched is not None:
            self.touched.add(frozenset({table}))
        dialect, pace = self._statements.dialect, self._pace()
        call = insert_many(self._lease, pace, dialect, table, rows, conflict)
        return Result(await self._call(call, pace.due))

    async def send_sets(self, sql: str, sets: Source) -> Result:
        """Run a statement for each parameter set; after an error the caller has to roll back."""
        statement = self._statements.of(sql)
        self._admit(statement)
        pace = self._pace()
        return Result(
            await self._call(execute_many(self._lease, pace, statement, sets), pace.due, self._phase(statement))
        )

    def on_commit(self, callback: Callable[[], Any]) -> None:
        """Call a function, or coroutine function, without arguments after the commit.

        It is called after the connection went back to the pool. It is not called if the transaction, or the nested
        block that registered it, rolls back. What it raises is logged, and does not reach the caller.
        """
        self._require_alive()
        self.callbacks.add(require_function("callback", callback))

    async def lock(self, name: str, *, timeout: float | None = None) -> None:
        """Take an advisory lock, and hold it until this transaction ends.

        Args:
            name: any text; locks of the same name on the same database exclude each other, those of ``db.lock`` too.
            timeout: seconds to wait for it; None for the timeout of ``connect``.

        Raises:
            QueryTimeout: another session held it all the time; the transaction is rolled back.
        """
        self._require_alive()
        dialect = self._statements.dialect
        self._lease.dirty = (
            self._lease.dirty or dialect is Dialect.MYSQL
        )  # COMMIT does not release it there: the reset does
        require_text("name", name)
        due = (
            self._due()
            if timeout is None
            else min(self._deadline.due, self._now() + require_seconds("timeout", timeout))
        )
        try:
            await take_lock(self._lease, dialect, name, due, for_transaction=True)
        except DriverError as error:
            raise self._public_error(error, Phase.TRANSACTION) from error.__cause__

    async def publish(self, topic: str, key: str | None, payload: Any, headers: Mapping[str, str] | None = None) -> int:
        """Write a message into the outbox; the relay delivers it if, and only if, this transaction commits.

        Args:
            topic: its subject; at most 255 characters.
            key: the entity that it belongs to, such as an order's number; for the receiver.
            payload: any value that JSON can represent.
            headers: more about it, as text by name.

        Returns:
            The message's id, by which a receiver recognizes a message that arrives twice.

        Raises:
            ConfigError: the payload cannot be written as JSON, or the tables of ``db.setup()`` are missing.
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
        """Open a savepoint; if the block ends with an exception, only its own changes are rolled back."""
        self._require_alive()
        self._depth += 1
        name, callbacks = f"rdskit_{self._depth}", len(self.callbacks)
        await self._control(f"savepoint {name}")
        try:
            yield self
        except BaseException as error:
            self.callbacks.keep(callbacks)
            if not isinstance(error, Exception):
                # A task that is being cancelled sends nothing, so the savepoint is not rolled back. The whole
                # transaction must not commit then: it would contain half of this block.
                self.failure = self.failure or _half_done_error()
            elif self.failure is None and not self._ended and not self._connection.broken:
                await self._control(f"rollback to savepoint {name}")
                await self._control(f"release savepoint {name}")
            raise
        else:
            await self._control(f"release savepoint {name}")
        finally:
            self._depth -= 1

    async def commit(self) -> None:
        """Commit the transaction; called by the block that opened it.

        Raises:
            OutcomeUnknown: the connection was lost after COMMIT was sent.
            QueryError: the server rolled back instead, because a statement had failed.
        """
        self._ended = True
        if self.failure is not None:
            raise self.failure
        if self._deadline.passed:
            raise QueryTimeout("the deadline passed before COMMIT was sent; the transaction was rolled back")
        marker = await self._usable_marker() if self.writes and self.commit_marker is not None else None
        tag = await self._send_commit(marker)
        if tag.upper() == "ROLLBACK":
            self.may_have_committed = False
            raise _swallowed_error()

    async def _send_commit(self, marker: CommitMarker | None) -> str:
        texts = ("commit",) if marker is None else marker.commit(self._statements.dialect)
        phase, tag = Phase.TRANSACTION, ""
        for text in texts:
            if text is texts[-1]:
                phase, self.may_have_committed = Phase.COMMIT, self.writes
            try:
                tag = await self._lease.run(self._connection.control(text, None), self._due())
            except DriverError as error:
                public = self._public_error(error, phase)
                if marker is not None:
                    if marker.is_refused_by(public, self._now()):
                        self._drop_marker(public, ended=text is texts[-1])
                        continue
                    if isinstance(public, QueryError) and public.sqlstate == _ABORTED:
                        raise _swallowed_error() from error.__cause__
                raise explained(public, FEATURE) from error.__cause__
        return tag

    async def _usable_marker(self) -> CommitMarker | None:
        """Return the marker to write; None for an implicit one that the current role may not write.

        On PostgreSQL a refused row rolls the transaction back, and a block cannot be retried: so ask first.
        """
        if self.commit_marker is None or not (self._role_may_differ and self.commit_marker.is_implicit):
            return self.commit_marker
        text = self.commit_marker.permission(self._statements.dialect)
        if text is not None and not await self._query_value(text):
            self.commit_marker = None
        return self.commit_marker

    async def _query_value(self, text: str) -> Any:
        try:
            row = await self._lease.run(self._connection.fetch_one(text, (), None), self._due())
        except DriverError as error:
            public = self._public_error(error, Phase.TRANSACTION)
            if isinstance(public, QueryError) and public.sqlstate == _ABORTED:
                raise _swallowed_error() from error.__cause__
            raise public from error.__cause__
        return None if row is None else row[0]

    def _drop_marker(self, public: RdskitError, *, ended: bool) -> None:
        """Continue to COMMIT without a marker that was refused.

        Raises:
            RefusedMarkerError: the transaction has ended, because PostgreSQL rolled back.
        """
        self.commit_marker = None
        if ended:
            self.may_have_committed = False
            raise RefusedMarkerError(f"the transaction was rolled back, as its row in rdskit_txn was refused: {public}")

    async def rollback(self) -> None:
        """Roll back; if that fails, the connection is closed, which has the same effect."""
        self._ended = True
        if not self._connection.broken:
            with contextlib.suppress(DriverError):  # the connection is broken then, and the pool closes it
                await self._connection.control("rollback", _ROLLBACK_TIMEOUT)

    def abandon(self) -> None:
        """Refuse all further statements, because the block has ended."""
        self._ended = True

    async def _run(self, call: Call[T], sql: str, params: Params | None, named: dict[str, Any]) -> T:
        statement, text, args = self._bound(sql, params, named)
        answer = await self._call(call(self._connection, text, args), self._due(), self._phase(statement))
        # MySQL commits implicitly at DDL and the like, and reports it in the status flags of its answer.
        if not self._connection.in_transaction:
            self.failure = _implicit_commit_error(statement)
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
            raise self._public_error(error, Phase.TRANSACTION) from error.__cause__

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
        self._role_may_differ = self._role_may_differ or statement.changes_role
        self._lease.dirty = self._lease.dirty or statement.dirties_session

    async def _call(self, call: Coroutine[Any, Any, T], due: float, phase: Phase = Phase.TRANSACTION) -> T:
        try:
            return await self._lease.run(call, due)
        except DriverError as error:
            raise self._public_error(error, phase) from error.__cause__

    def _phase(self, statement: Statement) -> Phase:
        """Return a statement's phase; inside a block, only MySQL lets a procedure commit."""
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
                f"{statement.source.strip()!r} is the block's task: leave it with an exception to roll back, "
                "nest transaction() for a savepoint"
            )

    async def _control(self, text: str) -> None:
        if self._ended:  # another lease may have the connection by now
            raise ConfigError(_ENDED)
        try:
            await self._lease.run(self._connection.control(text, None), self._due())
        except DriverError as error:
            raise self._public_error(error, Phase.TRANSACTION) from error.__cause__

    def _public_error(self, error: DriverError, phase: Phase) -> RdskitError:
        """Return the exception for the caller, which says what became of the transaction."""
        action = action_for(error.failure, phase, writes=self.writes)
        public = error.public
        assert isinstance(public, RdskitError), public
        if error.failure is Failure.READ_ONLY:
            if self._read_only:
                return public
            self.met_read_only = True
        if action is Action.UNKNOWN and self.writes:
            self.reason = str(public)
            public = OutcomeUnknown(f"{public}; {_UNKNOWN[phase]}")
        elif action in {Action.LOST, Action.UNKNOWN}:
            public = FailoverError(
                f"{public}; the transaction was rolled back: run it again (db.run retries by itself)"
            )
        if error.failure is not Failure.REFUSED:
            self.failure = public
        return public

    def _due(self) -> float:
        whole = self._deadline.at
        if self._timeout is None:
            return math.inf if whole is None else whole
        own = asyncio.get_running_loop().time() + self._timeout
        return own if whole is None or own < whole else whole

    def _due_of_stream(self) -> float:
        self._require_alive()  # after the end of the block the connection may belong to another caller
        return self._due()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _half_done_error() -> QueryError:
    return QueryError(
        "a nested transaction() was cancelled in the middle, so the whole transaction was rolled back: let the "
        "cancellation end the outer block too, and open a new transaction"
    )


def _implicit_commit_error(statement: Statement) -> QueryError:
    return QueryError(
        f"{statement.source.strip()[:60]!r} ended the transaction: the server commits at DDL, TRUNCATE and the like, "
        "so it and all before it are committed; run such statements outside of a transaction"
    )


def _swallowed_error() -> QueryError:
    return QueryError(
        "the transaction was rolled back, because a statement in it had failed and the application caught the error; "
        "let the error end the block, or put the statement into a nested transaction()",
        sqlstate=_ABORTED,
    )
