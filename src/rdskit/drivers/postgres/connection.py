"""One PostgreSQL connection of asyncpg that implements the connection port."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Any

import asyncpg

from rdskit.drivers.connect_errors import write_refused
from rdskit.drivers.postgres.bulk import PortalCursor, insert_rows
from rdskit.drivers.postgres.capacity import CAPACITY
from rdskit.drivers.postgres.codecs import unread_columns
from rdskit.drivers.postgres.failures import (
    ERRORS,
    answered_late,
    cancelled,
    schema_changed,
    undecoded,
    unreadable,
)
from rdskit.drivers.postgres.failures import mapped as mapped_error
from rdskit.drivers.postgres.limits import LARGEST_MESSAGE, require_room
from rdskit.drivers.postgres.records import SourceError, execute_pipelined
from rdskit.drivers.postgres.replication import PositionReader
from rdskit.drivers.postgres.statements import Kept, Schemas, Staleness, Statements, prepared, staleness_of
from rdskit.kernel.failures import Failure
from rdskit.kernel.notifications import Notification
from rdskit.kernel.ports import DriverError, Result, ServerCapacity
from rdskit.kernel.scope import change_on_postgres
from rdskit.kernel.sql.returning import with_returning
from rdskit.kernel.topology import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rdskit.drivers.postgres.raw import Raw
    from rdskit.kernel.ports import Batches, ConnectOptions, ReaderProgress
    from rdskit.kernel.positions import Lsn, Xid
    from rdskit.kernel.scope import Scope
    from rdskit.kernel.sql.insert import Insertion

_HARMLESS = frozenset({Failure.REFUSED, Failure.CONFLICT, Failure.TIMEOUT})


class PostgresConnection:
    """Implement the connection port with one asyncpg connection."""

    __slots__ = (
        "__weakref__",
        "_begin",
        "_begun",
        "_listeners",
        "_notices",
        "_protocol",
        "_raw",
        "_read_only",
        "_reads_only",
        "_replication",
        "_schemas",
        "_statements",
        "_stopping",
        "broken",
        "endpoint",
        "interrupted",
        "largest_message",
    )

    def __init__(self, raw: Raw, options: ConnectOptions, schemas: Schemas) -> None:
        self._raw = raw
        # Called directly: asyncpg's own path has four more functions, for checks that the pool has made already.
        self._protocol = raw._protocol  # noqa: SLF001 - see above
        self._notices: list[object] = raw.notices
        self._statements = Statements()
        self._schemas = schemas
        self._stopping: asyncio.Task[None] | None = None
        self._begin = ""
        self._begun = 0  # asyncpg's count of queries right after BEGIN
        self._listeners: dict[str, Callable[..., None]] = {}
        self._read_only = options.read_only
        self._replication = PositionReader(self.fetch_one)
        self.endpoint = options.endpoint
        self.largest_message = LARGEST_MESSAGE
        self.broken = False
        self._reads_only = False
        self.interrupted = False
        raw.add_termination_listener(self._ended)
        schemas.add(self)

    @property
    def role(self) -> Role:
        """The host's role, as of its last response.

        PostgreSQL ≥ 14 reports in_hot_standby and its changes unasked (protocol: ParameterStatus), so this needs no
        round trip.
        """
        return Role.READER if getattr(self._raw.get_settings(), "in_hot_standby", "off") == "on" else Role.WRITER

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return not self._raw.is_closed() and bool(self._raw.is_in_transaction())

    async def fetch_one(self, text: str, args: Sequence[Any], timeout: float | None) -> Any:
        """Run a statement and return its first row."""
        kept = self._statements.get(text)
        if kept is None:
            rows, _ = await self._run_first(text, args, timeout, 1)
            return rows[0] if rows else None
        try:
            if (parameters := kept.parameters) is not None and tuple(map(type, args)) not in parameters.fitting:
                args = parameters.converted(args)
            if kept.may_be_large:
                require_room(args, self.largest_message)
            rows, _, _ = await self._protocol.bind_execute(kept.state, args, "", 1, True, timeout)
        except Exception as error:  # noqa: BLE001 - a decoder may raise anything; it is classified and raised again
            rows, _ = await self._run_again(error, kept, args, timeout, 1)
        except BaseException:
            self.interrupted = True
            raise
        if self._notices:
            self._check_notices(rows, kept)
        return rows[0] if rows else None

    async def fetch_all(self, text: str, args: Sequence[Any], timeout: float | None) -> list[Any]:
        """Run a statement and return all rows."""
        return (await self._run(text, args, timeout))[0]

    async def execute(self, text: str, args: Sequence[Any], timeout: float | None) -> Result:
        """Run a statement and return the number of rows that it matched."""
        _, tag = await self._run(text, args, timeout)
        count = tag.rpartition(b" ")[2]
        return Result(int(count) if count.isdigit() else 0)

    async def _run(self, text: str, args: Sequence[Any], timeout: float | None) -> tuple[list[Any], bytes]:
        """Run a statement and return all rows and the command tag."""
        kept = self._statements.get(text)
        if kept is None:
            return await self._run_first(text, args, timeout, 0)
        try:
            if (parameters := kept.parameters) is not None and tuple(map(type, args)) not in parameters.fitting:
                args = parameters.converted(args)
            if kept.may_be_large:
                require_room(args, self.largest_message)
            rows, tag, _ = await self._protocol.bind_execute(kept.state, args, "", 0, True, timeout)
        except Exception as error:  # noqa: BLE001 - a decoder may raise anything; it is classified and raised again
            return await self._run_again(error, kept, args, timeout, 0)
        except BaseException:
            self.interrupted = True
            raise
        if self._notices:
            self._check_notices(rows, kept)
        return rows, tag

    async def _run_first(
        self, text: str, args: Sequence[Any], timeout: float | None, limit: int
    ) -> tuple[list[Any], bytes]:
        """Prepare a statement, keep it and run it.

        Its errors are the statement's own: a statement prepared just now cannot be out of date.
        """
        kept: Kept | None = None
        try:
            require_room((text,), self.largest_message)
            kept = await prepared(self._raw, text, timeout)
            self._statements.keep(kept)
            if kept.parameters is not None:
                args = kept.parameters.converted(args)
            require_room(args, self.largest_message)
            rows, tag, _ = await self._protocol.bind_execute(kept.state, args, "", limit, True, timeout)
        except Exception as error:  # noqa: BLE001 - as in `_run`
            raise self._failed(error, text, kept) from _cause(error)
        except BaseException:
            self.interrupted = True
            raise
        self._statements.note_first_run(kept, args)
        if self._notices:
            self._check_notices(rows, kept)
        return rows, tag

    async def _run_again(
        self, error: Exception, kept: Kept, args: Sequence[Any], timeout: float | None, limit: int
    ) -> tuple[list[Any], bytes]:
        """Prepare and run a kept statement again if its failure means a changed table or type; else raise the failure.

        The server refuses such a statement before it runs, or undoes all of it, so it can run again outside a
        transaction. Inside, the transaction is lost; it begins again only if this was its first statement.
        """
        staleness = staleness_of(error, kept)
        if staleness is Staleness.NONE:
            raise self._failed(error, kept.text, kept) from _cause(error)
        wrong = None
        if staleness is Staleness.AFTERWARDS and not kept.only_reads:  # it ran, and only its answer was not understood
            wrong = schema_changed(error) if self.in_transaction else unreadable(error, kept.statement, wrote=True)
        self._statements.drop(kept.text)
        if staleness.is_about_types or (staleness is Staleness.UNSENT and kept.takes_user_types):
            self._schemas.changed()
        if wrong is not None:
            raise wrong from error
        if staleness not in {Staleness.AFTERWARDS, Staleness.UNSENT} and self.in_transaction:
            await self._begin_again(error, kept, staleness)
        answer = await self._run_first(kept.text, args, timeout, limit)
        self._schemas.changed(besides=self)
        return answer

    async def _begin_again(self, error: Exception, kept: Kept, staleness: Staleness) -> None:
        """Restart an undone transaction if no other statement had run in it.

        Raises:
            DriverError: other statements had run, or the statement itself is wrong.
        """
        if self._protocol.queries_count == self._begun + 1:
            await self.control("rollback", None)
            await self.control(self._begin, None)
        elif staleness is Staleness.POSSIBLE:
            raise self._failed(error, kept.text, kept) from error
        else:
            raise schema_changed(error) from error

    def forget_schema(self) -> None:
        """Drop all kept statements and all type information, because tables or types have changed."""
        self._statements.drop_all()
        self._raw.forget_types()

    async def insert_many(self, insertion: Insertion, batches: Batches) -> int:
        """Insert rows by COPY; a few as pipelined statements."""
        first = await anext(batches, None) or ()
        try:
            with self._mapping_errors(f"insert into {insertion.table}"):
                return await insert_rows(self._raw, self.fetch_one, insertion, first, batches)
        except SourceError as error:
            raise error.error from None

    async def execute_many(self, text: str, batches: Batches) -> int:
        """Run a statement for each parameter set, pipelined where the rows can be counted."""
        counted = with_returning(text)
        total = 0
        async for batch in batches:
            if counted is None:
                total += sum([await self.execute(text, args, None) for args in batch])
            else:
                with self._mapping_errors(text):
                    total += await execute_pipelined(self._raw, counted, batch)
        return total

    async def open_cursor(self, text: str, args: Sequence[Any], timeout: float | None) -> PortalCursor:
        """Run a query whose rows stay on the server, behind a portal."""
        with self._mapping_errors(text):
            # Not a kept statement: one that is out of date cannot be prepared again inside the transaction.
            kept = await prepared(self._raw, text, timeout)
            if kept.parameters is not None:
                args = kept.parameters.converted(args)
            require_room(args, self.largest_message)
            cursor = await kept.statement.cursor(*args, timeout=timeout)
            return PortalCursor(cursor, self._mapping_errors, functools.partial(self._check_notices, kept=kept))

    async def control(self, text: str, timeout: float | None) -> str:
        """Run BEGIN, COMMIT, ROLLBACK or SAVEPOINT and return the server's command tag."""
        if text.startswith("begin"):
            self._reads_only = "read only" in text
        else:
            self._statements.leave_path(text)
        try:
            tag = str(await self._raw.execute(text, timeout=timeout))
        except ERRORS as error:
            raise self._mapped(error, text) from error
        except BaseException:
            self.interrupted = True
            raise
        if text.startswith("begin"):
            self._begin, self._begun = text, self._protocol.queries_count
        return tag

    async def capacity(self, timeout: float | None) -> ServerCapacity:
        """Return how many connections the server accepts; slots for administrators count as reserved."""
        return ServerCapacity(*await self.fetch_one(CAPACITY, (), timeout))

    async def written_position(self, timeout: float | None) -> Lsn | Xid:
        """Return the writer's position: the end of its log, normalized so that replicas reach it; on Aurora an xid."""
        return await self._replication.written(timeout)

    async def reader_progress(self, timeout: float | None) -> ReaderProgress:
        """Return this reader's replay position and lag."""
        return await self._replication.progress(timeout)

    async def enter(self, before: Scope, after: Scope, timeout: float | None) -> None:
        """Switch the session from one scope to another, in one round trip."""
        text = change_on_postgres(before, after)
        with self._mapping_errors(f"enter {after}"):
            await self._raw.execute(text, timeout=timeout)
        if before.schema != after.schema:
            self._statements.enter(after.schema)

    async def reset(self, timeout: float) -> None:
        """Undo every change that a caller made in the session; rdskit's own prepared statements survive."""
        try:
            async with asyncio.timeout(timeout):
                await self._raw.reset()
                self._listeners.clear()
                await self._statements.reset(self._raw)
        except ERRORS as error:
            raise self._mapped(error, "reset") from error
        except BaseException:
            self.interrupted = True
            raise

    async def ping(self, timeout: float) -> None:
        """Make one round trip, after a pending cancel request has reached the server."""
        if self._stopping is not None:
            await asyncio.wait([self._stopping], timeout=timeout)
            self._drop_cancel_request()
        await self.fetch_one("select 1", (), timeout)
        self.interrupted = False

    async def close(self, timeout: float) -> None:
        """Send the quit message to the server; abort when that takes longer than ``timeout`` seconds."""
        self._drop_cancel_request()
        try:
            await self._raw.close(timeout=timeout)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            self._raw.terminate()

    def stop(self) -> bool:
        """Ask the server to cancel the running statement; its call then ends with the server's response."""
        if self._stopping is not None or self._raw.is_closed():
            return False
        # The request names a backend, not a statement. If it arrives late it cancels whatever runs then, so nothing
        # else is sent until it has arrived (see `ping`).
        self.interrupted = True
        self._stopping = asyncio.get_running_loop().create_task(self._raw.request_cancel())
        self._notices.append(self._stopping)
        return True

    def abort(self) -> None:
        """Drop the socket at once."""
        self._drop_cancel_request()
        self._raw.terminate()

    async def listen(self, channel: str, receive: Callable[[Notification], None], timeout: float | None) -> None:
        """Subscribe to a channel's messages."""

        def take(_: object, process_id: int, name: str, payload: str) -> None:
            receive(Notification(name, payload, process_id))

        with self._mapping_errors(f"listen {channel}"):
            async with asyncio.timeout(timeout):
                await self._raw.add_listener(channel, take)
        self._listeners[channel] = take

    async def unlisten(self, channel: str, timeout: float | None) -> None:
        """Unsubscribe from a channel's messages."""
        take = self._listeners.pop(channel, None)
        if take is not None:
            with self._mapping_errors(f"unlisten {channel}"):
                async with asyncio.timeout(timeout):
                    await self._raw.remove_listener(channel, take)

    def on_end(self, call: Callable[[], None]) -> None:
        """Call ``call`` when the connection has ended, for whatever reason."""
        if self._raw.is_closed():
            call()
        else:
            self._raw.add_termination_listener(lambda _: call())

    def _drop_cancel_request(self) -> None:
        if self._stopping is not None:
            self._stopping.cancel()
            self._stopping = None
            self._notices.clear()

    def _check_notices(self, rows: Sequence[Any], kept: Kept) -> None:
        """Check a result about which there is a notice.

        Raises:
            DriverError: it arrived after the cancel request, or one of its values could not be read.
        """
        if not self._notices:
            return
        if self._stopping is not None:
            raise answered_late(self.endpoint)
        self._notices.clear()
        unread = list(unread_columns(rows, kept.statement.get_attributes()))
        if unread:
            raise undecoded(unread, wrote=not kept.only_reads) from unread[0][2]

    def _ended(self, _: object) -> None:
        self.broken = True  # the server closed an idle connection: without this the next statement would fail first

    def _failed(self, error: Exception, text: str, kept: Kept | None) -> DriverError:
        if isinstance(error, DriverError):
            return error
        if kept is None or (isinstance(error, ERRORS) and not self._is_decoding_error(error)):
            return self._mapped(error, text)
        return unreadable(error, kept.statement, wrote=not kept.only_reads)  # a decoder may raise anything

    @contextlib.contextmanager
    def _mapping_errors(self, text: str) -> Iterator[None]:
        try:
            yield
        except ERRORS as error:
            raise self._mapped(error, text) from error
        except BaseException:
            self.interrupted = True
            raise

    def _is_decoding_error(self, error: Exception) -> bool:
        """Return whether asyncpg itself could not read a response; the connection stays usable."""
        return isinstance(error, asyncpg.InternalClientError) and not self._raw.is_closed()

    def _mapped(self, error: Exception, text: str) -> DriverError:
        if self._stopping is not None and isinstance(error, asyncpg.QueryCanceledError):
            return cancelled(error, self.endpoint)
        mapped = mapped_error(error, text, self.endpoint)
        if self._read_only and mapped.failure is Failure.READ_ONLY:
            mapped = write_refused(mapped, self.endpoint)
        self.interrupted = self.interrupted or mapped.failure is Failure.TIMEOUT
        # A read-only transaction refuses writes on a healthy writer too: the connection stays usable.
        own = mapped.failure is Failure.READ_ONLY and self._reads_only and self.in_transaction
        self.broken = self.broken or not (own or mapped.failure in _HARMLESS)
        return mapped


class StatelessPostgresConnection(PostgresConnection):
    """A connection that names no statement on the server: RDS Proxy pins sessions that have named statements.

    Each use prepares again, because no error would report a changed table. With its own cache off, asyncpg sends Parse,
    Bind and Execute together, so that the proxy may choose any server connection for them.
    """

    __slots__ = ()

    async def fetch_one(self, text: str, args: Sequence[Any], timeout: float | None) -> Any:
        """Prepare and run a statement, and return its first row."""
        self._statements.drop_all()
        return await super().fetch_one(text, args, timeout)

    async def _run(self, text: str, args: Sequence[Any], timeout: float | None) -> tuple[list[Any], bytes]:
        self._statements.drop_all()
        return await super()._run(text, args, timeout)


def _cause(error: Exception) -> BaseException:
    """Return the driver's own error behind one of rdskit's."""
    return error.__cause__ or error if isinstance(error, DriverError) else error
