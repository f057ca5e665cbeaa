"""Hold one connection for a block that needs a session: SET, LISTEN, CREATE INDEX CONCURRENTLY."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Any, TypeVar, overload

from rdskit.client.database.executor import public_error
from rdskit.client.database.queries import DEFAULT
from rdskit.client.notifications import Inbox
from rdskit.client.pool import Hold
from rdskit.client.statements import calls, into_all, into_one, into_value
from rdskit.client.transactions import Transaction, begin_text
from rdskit.errors import ConfigError, FailoverError
from rdskit.kernel.arguments import require_seconds, require_text
from rdskit.kernel.failures import Action, Failure, Phase, action_for
from rdskit.kernel.ports import DriverError, Notifying
from rdskit.kernel.sql import Kind, bind_call
from rdskit.kernel.writes import TablesWritten
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from rdskit.client.database.transaction_scope import TransactionContext
    from rdskit.client.pool import Lease
    from rdskit.client.statements.calls import Call
    from rdskit.kernel.choices import Isolation
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.notifications import Notification
    from rdskit.kernel.ports import Params, Result, Row
    from rdskit.kernel.sql import Statement
    from rdskit.kernel.topology import Role

T = TypeVar("T")
_MESSAGES = 10_000  # messages that may wait for a receiver
_ROLLBACK_TIMEOUT = 2.0  # seconds; then the connection is closed, which rolls back as well


class HeldConnection:
    """A connection of the pool, for the length of ``async with db.connection() as c``.

    Changes to the session last for the block, and are reset at its end. A lost connection is not replaced, because the
    new session would lack those changes: the call raises, and the application has to run the block again.
    """

    def __init__(self, lease: Lease, context: TransactionContext) -> None:
        self._lease = lease
        self._context = context
        self._timeout = context.timeout
        self._ended = False
        self._lost = False
        self._in_transaction = False
        lease.dirty = True  # always reset the session afterwards, whatever the statements did

    def __repr__(self) -> str:
        return f"<rdskit.HeldConnection {self.endpoint}>"

    @property
    def endpoint(self) -> Endpoint:
        """The host."""
        return self._lease.connection.endpoint

    @property
    def role(self) -> Role:
        """The role that the host reported."""
        return self._lease.connection.role

    @overload
    async def fetch_one(
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
    async def fetch_one(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: type[T],
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> T | None: ...
    async def fetch_one(
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
        row = await self._run(calls.fetch_one, sql, params, named, timeout)
        return row if into is None else into_one(row, into)

    @overload
    async def fetch_all(
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
    async def fetch_all(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: type[T],
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> list[T]: ...
    async def fetch_all(
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
        return into_all(await self._run(calls.fetch_all, sql, params, named, timeout), into)

    @overload
    async def fetch_value(
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
    async def fetch_value(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: type[T],
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> T | None: ...
    async def fetch_value(
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
        row = await self._run(calls.fetch_one, sql, params, named, timeout)
        if into is not None:
            return into_value(row, into)
        return None if row is None else row[0]

    async def execute(
        self, sql: str, params: Params | None = None, /, *, timeout: float | None = DEFAULT, **named: Any
    ) -> Result:
        """Run a statement and return how many rows it matched."""
        return await self._run(calls.execute, sql, params, named, timeout)

    @contextlib.asynccontextmanager
    async def transaction(
        self, *, isolation: Isolation | None = None, read_only: bool = False, timeout: float | None = None
    ) -> AsyncIterator[Transaction]:
        """Open a transaction on this connection; arguments and errors as for ``db.transaction``.

        A COMMIT whose answer is lost ends in ``OutcomeUnknown``.
        """
        self._require_usable()
        deadline, context = Deadline.after(require_seconds("timeout", timeout)), self._context
        await self._control(begin_text(isolation, read_only=read_only, deferrable=False))
        transaction = Transaction(self._lease, context.statements, deadline, self._timeout, read_only=read_only)
        transaction.touched = TablesWritten() if context.hooks.active else None
        self._in_transaction = True
        try:
            yield transaction
            await transaction.commit()
        except BaseException as error:
            if isinstance(error, Exception):
                await transaction.rollback()
            if transaction.may_have_committed:
                context.written.lost_track()
                if transaction.touched is not None:
                    await context.hooks.uncertain(transaction.touched.tables, context.scope, error)
            raise
        finally:
            self._in_transaction = False
        # The lease stays with the block, so the position is not read on it: the session's reads go to the writer.
        if transaction.writes:
            context.written.lost_track()
        try:
            if transaction.touched is not None and transaction.writes:
                await context.hooks.committed(transaction.touched.tables, context.written, context.scope)
        finally:
            await transaction.callbacks.run()

    async def listen(self, *channels: str) -> AsyncGenerator[Notification, None]:
        """Yield the messages of channels; PostgreSQL only.

        ``db.listen`` survives failovers; this ends with the connection.

        Raises:
            ConfigError: the engine has no LISTEN.
            FailoverError: the connection was lost.
        """
        self._require_usable()
        for channel in channels:
            require_text("channel", channel, example="jobs")
        connection, inbox = self._lease.connection, Inbox(_MESSAGES)
        if not isinstance(connection, Notifying):
            raise ConfigError("this engine has no LISTEN and NOTIFY, which are PostgreSQL's")
        # Registered before LISTEN, so that a connection lost in between ends the loop below as well.
        lost = FailoverError(f"connection to {self.endpoint} was lost while it listened: hold another one")
        connection.on_end(lambda: inbox.end(lost))
        try:
            for channel in channels:
                await connection.listen(channel, inbox.put, self._timeout)
            while (note := await inbox.next()) is not None:
                yield note
        except DriverError as error:
            raise error.public from error.__cause__
        finally:
            if not (connection.broken or self._ended):
                with contextlib.suppress(DriverError):  # the connection is broken then, and the pool closes it
                    for channel in channels:
                        await connection.unlisten(channel, self._timeout)

    def end(self) -> None:
        """Refuse further calls; called at the end of the block."""
        self._ended = True

    # -- one statement ---------------------------------------------------------------------------------------------

    async def _run(
        self, call: Call[T], sql: str, params: Params | None, named: dict[str, Any], timeout: float | None
    ) -> T:
        self._require_usable()
        context = self._context
        statement = context.statements.of(sql)
        if statement.kind is Kind.TRANSACTION and not sql.lstrip().lower().startswith("set"):
            raise ConfigError(f"{sql.strip()!r} is the work of a block: use transaction() of the connection")
        text, args = bind_call(statement, params, named)
        limit = self._timeout if timeout is DEFAULT else require_seconds("timeout", timeout)
        due = math.inf if limit is None else asyncio.get_running_loop().time() + limit
        try:
            answer = await self._lease.run(call(self._lease.connection, text, args), due)
        except DriverError as error:
            raise await self._failed(error, statement) from error.__cause__
        except BaseException as error:
            # A cancel request is on its way, and could hit the next statement: refuse further ones.
            self._lost = self._lost or self._lease.connection.interrupted
            if not statement.repeatable:
                context.written.lost_track()
                await context.hooks.uncertain(statement.tables.writes, context.scope, error)
            raise
        if not statement.repeatable:
            context.written.lost_track()
            if context.hooks.active:
                await context.hooks.committed(statement.tables.writes, context.written, context.scope)
        return answer

    async def _failed(self, error: DriverError, statement: Statement) -> Exception:
        """Return the caller's error, after calling the hooks if the statement may have taken effect."""
        context = self._context
        self._lost = self._lost or error.failure is Failure.LOST or self._lease.connection.interrupted
        context.cluster.report(error.failure)
        phase = Phase.STATEMENT if statement.atomic else Phase.PROCEDURE
        action = action_for(error.failure, phase, writes=not statement.repeatable)
        public = public_error(error, action, statement)
        if action is Action.RETRY and isinstance(public, FailoverError):
            public = FailoverError(f"{error.public}; nothing was changed: leave the block, hold another connection")
        if not statement.repeatable and (action is Action.UNKNOWN or not statement.atomic):
            context.written.lost_track()
            await context.hooks.uncertain(statement.tables.writes, context.scope, public)
        return public

    async def _control(self, text: str) -> None:
        limit = Deadline.after(self._timeout)
        try:
            await self._lease.run(self._lease.connection.control(text, None), limit.due)
        except DriverError as error:
            self._lost = self._lost or error.failure is Failure.LOST
            raise error.public from error.__cause__

    def _require_usable(self) -> None:
        if self._ended:
            raise ConfigError("this connection has gone back to its pool: use it inside its block")
        if self._in_transaction:
            raise ConfigError("a transaction is open on this connection: use the transaction until its block has ended")
        if self._lost or self._lease.connection.broken:
            raise FailoverError(
                f"the session on {self.endpoint} was lost with all that was set there: leave the block and hold another"
            )


@contextlib.asynccontextmanager
async def held(lease: Lease, context: TransactionContext) -> AsyncIterator[HeldConnection]:
    """Hold a connection for the length of the block; its session is reset afterwards.

    Args:
        lease: the connection, which is checked in at the end.
        context: context of the session that holds it.
    """
    connection, hold = HeldConnection(lease, context), Hold(lease.pool)
    try:
        yield connection
    finally:
        hold.end()
        connection.end()  # before the check-in: a reference kept by the application must not reach the next caller
        lease.give_back()
