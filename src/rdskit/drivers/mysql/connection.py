"""One MySQL or MariaDB connection that implements the connection port.

asyncmy closes a connection whose call is cancelled, because a response may be half read. The next use, or the pool's
cleaning, then opens a new session and has it kill the old one on the server. So a passed deadline costs one login, and
no late KILL can hit another statement.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asyncmy.constants import SERVER_STATUS

from rdskit.drivers.connect_errors import write_refused
from rdskit.drivers.mysql.bulk import Inserting
from rdskit.drivers.mysql.cursor import ServerCursor, open_cursor
from rdskit.drivers.mysql.failures import failed, leaves_answer_unread, timed_out, unreadable
from rdskit.drivers.mysql.replication import PositionReader
from rdskit.drivers.mysql.statements import Prepared, Statements
from rdskit.errors import FailoverError, QueryError, StatementError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError, ReaderProgress, Result, ServerCapacity
from rdskit.kernel.scope import NO_SCOPE, TENANT_VARIABLE, set_up_on_mysql

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence

    from rdskit.drivers.mysql.session import PreparedSession
    from rdskit.drivers.mysql.statements import Key
    from rdskit.kernel.ports import Batches, ConnectOptions, Row
    from rdskit.kernel.positions import Position
    from rdskit.kernel.scope import Scope
    from rdskit.kernel.sql.insert import Insertion

_HARMLESS: Final = frozenset({Failure.REFUSED, Failure.CONFLICT, Failure.TIMEOUT})
_BEGIN: Final = re.compile(
    r"begin(?: isolation level (?P<level>[a-z ]+?))?(?P<only> read only)?(?P<deferrable> deferrable)?"
)
T = TypeVar("T")


class MysqlConnection:
    """Implement the connection port with one server session at a time.

    Attributes:
        endpoint: the host.
        role: the role that the server reported when the session was opened.
        broken: the connection cannot be used any more.
        interrupted: a call was abandoned; the next use replaces the session.
    """

    __slots__ = (
        "_aborted",
        "_bound",
        "_database",
        "_read_only",
        "_reads_only",
        "_reopen",
        "_replication",
        "_session",
        "_statements",
        "broken",
        "endpoint",
        "interrupted",
        "role",
    )

    def __init__(
        self, session: PreparedSession, options: ConnectOptions, reopen: Callable[[], Awaitable[PreparedSession]]
    ) -> None:
        self._reopen = reopen
        self._database = options.database
        self._aborted = False
        self._read_only = options.read_only
        self.endpoint = options.endpoint
        self.role = session.role
        self.broken = False
        self._reads_only = False
        self.interrupted = False
        self._use_session(session)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, or was when its session had to be replaced."""
        return self._aborted or bool(self._session.raw.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)

    async def fetch_one(self, text: str, args: Sequence[Any], timeout: float | None) -> Row | None:
        """Run a statement and return its first row.

        This is the most common call. So the usual case is inlined here and does not go through ``_run``.
        """
        key = (text, *map(type, args))
        prepared = self._statements.get(key)
        if prepared is None or not prepared.is_plain or timeout is not None or self.interrupted or self._aborted:
            return await self._run(text, args, timeout, Prepared.first)
        prepared.used = True
        try:
            if not await prepared.statement._execute_cursor(args, prepared):  # noqa: SLF001 - the short way in
                prepared.take(self._session.raw._result)  # noqa: SLF001 - where it leaves an answer otherwise
        except BaseException as error:  # noqa: BLE001 - raised there, unless the statement is outdated
            self._raise_unless_outdated(key, error)
        else:
            rows, prepared.rows = prepared.rows, ()
            return prepared.shape.row(rows[0]) if rows else None
        return await self._run(text, args, None, Prepared.first)

    def fetch_all(self, text: str, args: Sequence[Any], timeout: float | None) -> Coroutine[Any, Any, list[Row]]:
        """Run a statement and return all rows."""
        return self._run(text, args, timeout, Prepared.all)

    def execute(self, text: str, args: Sequence[Any], timeout: float | None) -> Coroutine[Any, Any, Result]:
        """Run a statement and return the number of rows that it matched.

        ``insert … on duplicate key update`` counts an updated row twice, as the server does.
        """
        return self._run(text, args, timeout, Prepared.result)

    async def insert_many(self, insertion: Insertion, batches: Batches) -> int:
        """Insert rows by statements of many rows each."""
        await self._require_usable()
        inserting = Inserting(self._session.raw, insertion)
        inserted = 0
        try:
            async for batch in batches:
                with self._mapping_errors():
                    inserted += await inserting.insert(batch)
        finally:
            if not (self.interrupted or self.broken):
                # Closing a statement sends and awaits no response, so it does not delay a task that is being cancelled.
                with contextlib.suppress(DriverError), self._mapping_errors():
                    await inserting.close()
        return inserted

    async def execute_many(self, text: str, batches: Batches) -> int:
        """Run a statement for each parameter set."""
        return sum([await self.execute(text, args, None) async for batch in batches for args in batch])

    async def open_cursor(self, text: str, args: Sequence[Any], timeout: float | None) -> ServerCursor:
        """Run a query whose rows stay on the server, behind a cursor."""
        await self._run_by_deadline(self._require_usable(), timeout)
        with self._mapping_errors():
            return await open_cursor(self._session.raw, text, args, self._mapping_errors)

    async def control(self, text: str, timeout: float | None) -> str:
        """Run BEGIN, COMMIT, ROLLBACK or SAVEPOINT and return the command's name.

        BEGIN takes PostgreSQL's options. If a call inside the transaction was abandoned, COMMIT returns ``ROLLBACK``:
        the server has rolled the transaction back with its session.
        """
        verb = text.partition(" ")[0].upper()
        if verb == "BEGIN":
            self._reads_only = "read only" in text
        await self._run_mapped(self._control(text), timeout)
        if self._aborted and text.lower() in {"commit", "rollback"}:
            self._aborted = False
            return "ROLLBACK"
        return verb

    async def capacity(self, timeout: float | None) -> ServerCapacity:
        """Return how many connections the server takes; ``max_user_connections`` is this user's own limit."""
        text = "select @@global.max_connections, @@session.max_user_connections"
        row = await self.fetch_one(text, (), timeout)
        assert row is not None, text
        most, own = row
        return ServerCapacity(int(most), 0, int(own) or None)

    async def written_position(self, timeout: float | None) -> Position | None:
        """Return where the writer's log ends now.

        The result is None on Aurora, where ``gtid_mode`` is off, or where the server keeps no binary log. A session's
        reads then go to the writer after its first write. RDS for MySQL has ``gtid_mode`` OFF_PERMISSIVE by default.
        Set it to ON in the parameter group to read from replicas.
        """
        return await self._run_by_deadline(self._replication.written(), timeout)

    async def reader_progress(self, timeout: float | None) -> ReaderProgress:
        """Return this reader's replay position and lag."""
        return await self._run_by_deadline(self._replication.progress(), timeout)

    async def enter(self, before: Scope, after: Scope, timeout: float | None) -> None:
        """Switch the session from one scope to another.

        A prepared statement is bound to the schema in which it was prepared, and MariaDB cannot return to the default
        role. So the session is reset first, unless only the tenant changes.
        """
        await self._run_mapped(self._enter(before, after), timeout)

    async def reset(self, timeout: float) -> None:
        """Undo every change that a caller made in the session. Statements are prepared again at their next use."""
        await self._run_mapped(self._reset(), timeout)

    async def ping(self, timeout: float) -> None:
        """Make one round trip; after an abandoned call, replace the session."""
        await self._run_mapped(self._ping(), timeout)

    async def close(self, timeout: float) -> None:
        """Send the quit message and kill an abandoned session; abort if that takes longer than ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                if self.interrupted and not self.broken:
                    await self._replace_session()
                self.broken = True
                await self._session.raw.ensure_closed()
        except (DriverError, OSError):  # includes TimeoutError: the server does not read the quit message
            self.abort()
        except asyncio.CancelledError:
            self.abort()
            raise

    def stop(self) -> bool:
        """Return False: a call past its deadline is abandoned, and its session killed later."""
        return False

    def abort(self) -> None:
        """Drop the socket at once."""
        self.broken = True
        transport = self._session.raw._transport  # noqa: SLF001 - asyncmy's close waits until everything is sent
        if transport is not None:
            transport.abort()

    # -- running -------------------------------------------------------------------------------------------------------

    async def _run(self, text: str, args: Sequence[Any], timeout: float | None, take: Callable[[Prepared], T]) -> T:
        """Run a statement and return ``take`` of its result."""
        if timeout is not None:
            return await self._run_by_deadline(self._run(text, args, None, take), timeout)
        args = self._bound(args)
        key = (text, *map(type, args))
        try:
            if self.interrupted or self._aborted:
                await self._require_usable()
            prepared = self._statements.get(key)
            if prepared is None:
                prepared = await self._statements.prepare(key)
            else:
                prepared.used = True
            if not await prepared.statement._execute_cursor(args, prepared):  # noqa: SLF001 - the short way in
                prepared.take(self._session.raw._result)  # noqa: SLF001 - where it leaves an answer otherwise
        except BaseException as error:  # noqa: BLE001 - raised there, unless the statement is outdated
            self._raise_unless_outdated(key, error)
        else:
            return take(prepared)
        return await self._run(text, args, None, take)

    def _raise_unless_outdated(self, key: Key, error: BaseException) -> None:
        """Classify a failed statement: return if preparing it again is enough, else raise the error for the caller.

        A cancelled call leaves the response half read, so the session must be replaced.
        """
        if isinstance(error, DriverError):
            raise error
        if not isinstance(error, Exception):
            self.interrupted = True
            raise error
        if not self._statements.is_outdated(key, error):
            raise self._failed(unreadable(error, self._statements.description(key))) from error

    @contextlib.contextmanager
    def _mapping_errors(self) -> Iterator[None]:
        try:
            yield
        except DriverError:
            raise
        except Exception as error:
            raise self._failed(error) from error
        except BaseException:
            self.interrupted = True
            raise

    async def _run_mapped(self, call: Awaitable[None], timeout: float | None) -> None:
        try:
            if timeout is None:
                await call
            else:
                async with asyncio.timeout(timeout):
                    await call
        except DriverError:
            raise
        except Exception as error:
            raise self._failed(error) from error
        except BaseException:
            self.interrupted = True
            raise

    async def _run_by_deadline(self, call: Awaitable[T], timeout: float | None) -> T:
        try:
            async with asyncio.timeout(timeout):
                return await call
        except TimeoutError as error:
            raise self._failed(error) from error

    async def _control(self, text: str) -> None:
        if self.interrupted:
            await self._replace_session()
        if not self._aborted:
            for statement in _translated(text):
                await self._session.raw.query(statement)
        elif text.lower() not in {"commit", "rollback"}:
            raise _aborted()

    async def _reset(self) -> None:
        if self.interrupted:
            await self._replace_session()
        else:
            self._statements = Statements(self._session.raw)
            await self._session.reset(self._database)
        self._aborted = False

    async def _enter(self, before: Scope, after: Scope) -> None:
        if after.schema is not None and self._database is None:
            message = f"a connection without a database cannot leave the schema of {after} again: name one in the URL"
            raise DriverError(Failure.REFUSED, StatementError(message))
        if before.schema != after.schema or before.role is not None:
            await self._reset()
            before = NO_SCOPE
        with self._mapping_errors():
            if before.tenant is not None and after.tenant is None:
                await self._session.raw.query(f"set @{TENANT_VARIABLE} = null")
            for text in set_up_on_mysql(after):
                await self._session.raw.query(text)

    async def _ping(self) -> None:
        if self.interrupted:
            await self._replace_session()
        await self._session.raw.ping(reconnect=False)

    # -- sessions ------------------------------------------------------------------------------------------------------

    async def _require_usable(self) -> None:
        if self.interrupted:
            await self._replace_session()
        if self._aborted:
            raise _aborted()

    async def _replace_session(self) -> None:
        """Replace the session whose call was abandoned, and kill that one on the server."""
        abandoned, in_transaction = self._session, self.in_transaction
        abandoned.raw.close()
        try:
            # Open the new session before the old one is killed: only another session can send KILL.
            fresh = await self._reopen()
        except DriverError:
            self.broken = True
            raise
        try:
            await fresh.kill(abandoned)
        except BaseException:
            fresh.raw.close()
            raise
        self._use_session(fresh)
        self._aborted = in_transaction
        self.interrupted = False
        if fresh.role is not self.role:
            self.broken = True
            message = f"{self.endpoint} has changed its role: it is the {fresh.role.name.lower()} now"
            raise DriverError(Failure.LOST, FailoverError(message))

    def _use_session(self, session: PreparedSession) -> None:
        self._session = session
        self._bound = session.raw.arguments.bound
        self._statements = Statements(session.raw)
        self._replication = PositionReader(session.flavor, self._ask)
        # The server may close an idle connection. Without this callback the next caller's statement would fail first.
        session.raw._proto._closed_waiter.add_done_callback(lambda _: self._ended(session))  # noqa: SLF001 - no public hook

    def _ended(self, session: PreparedSession) -> None:
        if session is self._session and not self.interrupted:
            self.broken = True

    async def _ask(self, text: str) -> Row | None:
        return await self.fetch_one(text, (), None)

    def _failed(self, error: Exception) -> DriverError:
        if isinstance(error, TimeoutError):
            self.interrupted = True
            return timed_out(self.endpoint)
        mapped = failed(error, self.endpoint, connected=self._session.raw.connected)
        if self._read_only and mapped.failure is Failure.READ_ONLY:
            mapped = write_refused(mapped, self.endpoint)
        self.interrupted = self.interrupted or leaves_answer_unread(error)
        # A read-only transaction refuses writes on a healthy writer too: the connection stays usable.
        own = mapped.failure is Failure.READ_ONLY and self._reads_only and self.in_transaction
        self.broken = self.broken or not (own or mapped.failure in _HARMLESS)
        return mapped


@functools.lru_cache(maxsize=64)
def _translated(text: str) -> tuple[str, ...]:
    """Return the MySQL statements for a BEGIN with PostgreSQL's options; any other text unchanged."""
    options = _BEGIN.fullmatch(text)
    if options is None:
        return (text,)
    if options["deferrable"]:
        raise DriverError(Failure.REFUSED, StatementError("deferrable=True is PostgreSQL's: leave it out"))
    level = (f"set transaction isolation level {options['level']}",) if options["level"] else ()
    return (*level, f"start transaction{options['only'] or ''}")


def _aborted() -> DriverError:
    message = "a statement of this transaction was abandoned, so it was rolled back: leave the block and begin again"
    return DriverError(Failure.REFUSED, QueryError(message, sqlstate="25P02"))
