"""One session of the writer with its transaction; after a failover it is replaced, and a notice says so."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from rdskit.client.api import dialect_of
from rdskit.errors import ConfigError, FailoverError, OutcomeUnknown, RdskitError
from rdskit.kernel.sql import Dialect, Kind, compile_statement
from rdskit.operate.shell.model import Answer
from rdskit.operate.shell.policy import isolation_of, leaves_state, verb_of, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rdskit.client.api import Database, HeldConnection, Transaction
    from rdskit.kernel.sql import Statement

_WRITER_TIMEOUT: Final = 120.0  # seconds for the next writer: a failover of Amazon RDS takes 60 to 120
_CANCEL_TIMEOUT: Final = 10.0  # seconds for the request to cancel a statement
_BATCH: Final = 500
_BEGIN: Final = ("begin", "start")
_COMMIT: Final = ("commit", "end")
_ROLLBACK: Final = ("rollback", "abort")
_PROCESS: Final = {
    Dialect.POSTGRES: ("select pg_backend_pid()", "select pg_cancel_backend({})"),
    Dialect.MYSQL: ("select connection_id()", "kill query {}"),
}


class _RolledBackError(Exception):
    """Exit the block of a transaction that the user rolls back."""


class _Open(NamedTuple):
    """One open session.

    Attributes:
        block: checks the connection in.
        connection: the session's connection.
        process: the server's id of the session.
    """

    block: contextlib.AsyncExitStack
    connection: HeldConnection
    process: int


class ShellSession:
    """Run statements one by one in one session of the server.

    A session that is lost is replaced at once. A statement that had no effect is run again in the new session, unless
    the old one had a transaction, settings or temporary tables that it may depend on.

    Args:
        db: a database with at least two connections, because a cancel request needs its own.
        say: called with each notice for the user.
    """

    def __init__(self, db: Database, say: Callable[[str], None]) -> None:
        self._db = db
        self._say = say
        self._open: _Open | None = None
        self._transaction: tuple[Any, Transaction] | None = None
        self._has_state = False
        self._was_cancelled = False
        self.dialect = dialect_of(db)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._transaction is not None

    @property
    def host(self) -> str:
        """Return the host of the session; empty while there is none."""
        return "" if self._open is None else str(self._open.connection.endpoint)

    async def open(self) -> None:
        """Open a session on the writer.

        Raises:
            RdskitError: no writer was found in time.
        """
        block = contextlib.AsyncExitStack()
        try:
            connection = await block.enter_async_context(self._db.connection(timeout=_WRITER_TIMEOUT))
            process = await connection.fetch_value(_PROCESS[self.dialect][0])
        except BaseException:
            await block.aclose()
            raise
        self._open, self._has_state = _Open(block, connection, int(process)), False

    async def close(self) -> None:
        """Close the session; an open transaction is rolled back."""
        if self._transaction is not None:
            self._say("the open transaction was rolled back")
        with contextlib.suppress(RdskitError):  # the session ends in any case
            await self._leave(_RolledBackError())
        opened, self._open = self._open, None
        if opened is not None:
            with contextlib.suppress(RdskitError):
                await opened.block.aclose()

    async def run(self, sql: str, limit: int = 0) -> Answer:
        """Run one statement and return its answer.

        Args:
            sql: the statement.
            limit: rows to fetch at most of a query that only reads; 0 for all.

        Raises:
            RdskitError: it was refused, or lost with its session.
        """
        statement = compile_statement(sql, self.dialect)
        begun = time.monotonic()
        if self._open is None:
            await self.open()
        was_safe = not (self.in_transaction or self._has_state)
        try:
            answer = await self._answer(statement, limit)
        except FailoverError as error:
            lost = await self._reopen()
            if isinstance(error, OutcomeUnknown):
                raise
            if not was_safe:
                raise FailoverError(
                    "the statement had no effect, and may depend on what was lost: restore that, then run it again"
                ) from error
            self._say(f"nothing had happened on {lost}: running the statement again")
            answer = await self._answer(statement, limit)
        self._has_state = self._has_state or leaves_state(statement)
        return answer._replace(seconds=time.monotonic() - begun, verb=verb_of(sql, self.dialect))

    async def cancel(self) -> None:
        """Ask the server to cancel the running statement; it ends with the server's response, and the session stays.

        Raises:
            RdskitError: the server cannot be asked.
        """
        if self._open is None:
            return
        async with self._db.connection(timeout=_CANCEL_TIMEOUT) as other:
            if other.endpoint == self._open.connection.endpoint:
                await other.execute(_PROCESS[self.dialect][1].format(self._open.process), timeout=_CANCEL_TIMEOUT)

    async def replace(self) -> None:
        """Replace the session after its statement was abandoned.

        Raises:
            RdskitError: no writer was found in time.
        """
        await self._reopen()

    async def query(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Run an internal query in another session, outside of any transaction, and return its rows.

        Raises:
            RdskitError: it failed.
        """
        return [tuple(row) for row in await self._db.fetch_all(sql, values)]

    async def _reopen(self) -> str:
        """Replace the session, report what was lost with it, and return its former host."""
        lost, had = self.host, self._lost_with_it()
        self._transaction, opened, self._open = None, self._open, None
        if opened is not None:
            with contextlib.suppress(RdskitError):  # the connection is gone, so there is nothing to reset
                await opened.block.aclose()
        self._say(f"the session on {lost} was lost{had}; connecting again")
        await self.open()
        self._say(f"connected to {self.host}")
        return lost

    def _lost_with_it(self) -> str:
        parts = ["its open transaction"] if self.in_transaction else []
        parts += ["its settings and temporary tables"] if self._has_state else []
        return f", with {' and '.join(parts)}" if parts else ""

    async def _answer(self, statement: Statement, limit: int) -> Answer:
        assert self._open is not None
        if statement.kind is Kind.TRANSACTION and await self._marks_transaction(statement):
            return Answer("", 0.0)
        runner = self._open.connection if self._transaction is None else self._transaction[1]
        if not statement.returns_rows:
            count = await runner.execute(statement.source)
            return Answer("", 0.0, affected=int(count))
        rows, more = await self._rows(statement, runner, limit)
        columns = tuple(rows[0].keys()) if rows else await self._columns(statement)
        return Answer("", 0.0, columns, [tuple(row) for row in rows], len(rows), returns_rows=True, more=more)

    async def _rows(
        self, statement: Statement, runner: HeldConnection | Transaction, limit: int
    ) -> tuple[Sequence[Any], bool]:
        """Return the rows, and whether there are more than the limit; those stay on the server."""
        if (
            not limit
            or not statement.repeatable
            or words_of(statement.source, self.dialect)[0] not in {"select", "with"}
        ):
            return await runner.fetch_all(statement.source), False
        assert self._open is not None
        async with contextlib.AsyncExitStack() as stack:
            tx = self._transaction[1] if self._transaction else None
            if tx is None:
                tx = await stack.enter_async_context(self._open.connection.transaction(read_only=True))
            rows: list[Any] = []
            stream = tx.stream(statement.source, batch=min(limit + 1, _BATCH))
            async with contextlib.aclosing(stream):
                async for row in stream:
                    if len(rows) == limit:
                        return rows, True
                    rows.append(row)
        return rows, False

    async def _columns(self, statement: Statement) -> tuple[str, ...]:
        """Return the columns of a query without rows, from an outer join in which the query runs on no row."""
        if not statement.repeatable or words_of(statement.source, self.dialect)[0] not in {"select", "with"}:
            return ()
        try:
            # The user's own statement, which has run before; S608 is about untrusted text.
            heading = f"select q.* from (select 1 as one) o left join ({statement.source}\n) q on false"  # noqa: S608
            rows = await self._db.fetch_all(heading)
        except RdskitError:  # a name that another session does not have, such as a temporary table: no heading then
            return ()
        return tuple(rows[0].keys()) if rows else ()

    # -- transactions ----------------------------------------------------------------------------------------------

    async def _marks_transaction(self, statement: Statement) -> bool:
        """Begin or end a transaction if a statement says so; return False if it only sets something."""
        words = words_of(statement.source, self.dialect)
        if words[0] == "set":
            return False
        if words[0] in _BEGIN:
            await self._begin(statement.source, read_only=words[-2:] == ["read", "only"])
        elif words[0] in _COMMIT or (words[0] in _ROLLBACK and "to" not in words):
            await self._end(commit=words[0] in _COMMIT)
        else:
            raise ConfigError("savepoints are not taken here: end the transaction, or use --native")
        return True

    async def _begin(self, sql: str, *, read_only: bool) -> None:
        if self._transaction is not None:
            raise ConfigError("a transaction is open already: COMMIT or ROLLBACK it first")
        assert self._open is not None
        block = self._open.connection.transaction(isolation=cast("Any", isolation_of(sql)), read_only=read_only)
        self._transaction = (block, await block.__aenter__())

    async def _end(self, *, commit: bool) -> None:
        if self._transaction is None:
            raise ConfigError("no transaction is open: BEGIN opens one")
        await self._leave(None if commit else _RolledBackError())

    async def _leave(self, error: _RolledBackError | None) -> None:
        if self._transaction is None:
            return
        block, self._transaction = self._transaction[0], None
        with contextlib.suppress(_RolledBackError):
            await block.__aexit__(None if error is None else type(error), error, None)
