"""PostgreSQL through asyncpg."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from rdskit.drivers import postgres_upgrade
from rdskit.drivers.greeting import engine_at, other_protocol
from rdskit.drivers.postgres_bulk import PortalCursor, insert_rows
from rdskit.drivers.postgres_capacity import CAPACITY
from rdskit.drivers.postgres_json import set_json_codecs
from rdskit.drivers.postgres_records import SourceError, execute_pipelined
from rdskit.drivers.postgres_replication import Replication
from rdskit.drivers.postgres_row import Row
from rdskit.drivers.postgres_statements import KeptStatements
from rdskit.drivers.postgres_wal import WalConnection
from rdskit.drivers.refusals import (
    no_tls_offered,
    refused_by_network,
    said,
    tls_demanded,
    unknown_database,
    write_refused,
)
from rdskit.errors import (
    AuthenticationError,
    ConfigError,
    ConnectError,
    FailoverError,
    QueryError,
    QueryTimeout,
    StatementError,
    TooManyConnections,
)
from rdskit.kernel.answers import meaning_of_sqlstate
from rdskit.kernel.failures import Failure, is_transient_refusal
from rdskit.kernel.notifications import Notification
from rdskit.kernel.ports import Capabilities, DriverError, Result, ServerCapacity
from rdskit.kernel.scope import change_on_postgres
from rdskit.kernel.server_words import argument_words, escaped, postgres_words
from rdskit.kernel.sql.returning import with_returning
from rdskit.kernel.targets import Engine
from rdskit.kernel.topology import Role
from rdskit.runtime.keepalive import keep_alive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import ConnectOptions, Login, Portions, ReaderProgress
    from rdskit.kernel.positions import Lsn, Xid
    from rdskit.kernel.scope import Scope
    from rdskit.kernel.sql.insert import Insertion

postgres_upgrade.install()

# Prepared statements kept per connection; the oldest goes first.
_STATEMENTS = 256

_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

_RESET_USER = "set session authorization default;"  # first: it takes back SET ROLE too, and what follows needs no other
_RESET_REST = "discard temp;\ndiscard sequences;"

#: How pg_hba.conf refuses a connection for its lack of TLS, as RDS does with rds.force_ssl; "SSL off" before 12.
_NO_ENCRYPTION = re.compile(r"pg_hba\.conf (entry|rejects) .*(no encryption|SSL off)")
#: A prepared statement that this session has made is not there, or is there before it made it.
_STATEMENT_LOST = frozenset({"26000", "42P05"})
_POOLER = (
    "another session answered than the one that prepared it; behind pgbouncer in transaction mode, or another pooler "
    "that changes sessions, pass pinning='avoid' to rdskit.connect"
)
_HARMLESS = frozenset({Failure.REFUSED, Failure.CONFLICT, Failure.TIMEOUT})


class _Raw(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    __slots__ = ()

    def get_reset_query(self) -> str:
        """Return the statements that take a session back to its beginning, prepared statements excepted.

        RESET ALL leaves role, session user and the state of ``random()``. Source: PostgreSQL manual, "DISCARD".
        """
        seed = random.SystemRandom().uniform(-1, 1)
        return f"{_RESET_USER}\n{super().get_reset_query()}\n{_RESET_REST}\nselect pg_catalog.setseed({seed!r});"

    async def _cancel(self, *waiters: Any) -> None:
        with postgres_upgrade.cut_afterwards():
            await super()._cancel(*waiters)


class PostgresConnection:
    """One asyncpg connection behind the connection port."""

    __slots__ = (
        "_kept",
        "_listeners",
        "_protocol",
        "_raw",
        "_read_only",
        "_reads_only",
        "_replication",
        "_statements",
        "broken",
        "endpoint",
        "interrupted",
    )

    def __init__(self, raw: asyncpg.Connection, options: ConnectOptions) -> None:
        self._raw = raw
        # The short way in: asyncpg's statement goes through four functions to this one, for checks that the pool made.
        self._protocol = raw._protocol  # noqa: SLF001 - see above
        self._kept = KeptStatements()
        self._statements = self._kept.current
        self._listeners: dict[str, Callable[..., None]] = {}
        self._read_only = options.read_only
        self._replication = Replication(self.fetch_one)
        self.endpoint = options.endpoint
        self.broken = False
        self._reads_only = False
        self.interrupted = False
        raw.add_termination_listener(self._ended)

    @property
    def role(self) -> Role:
        """What the host is, as of its last answer.

        PostgreSQL ≥ 14 reports in_hot_standby by itself, also that it changes, so it costs no round trip (protocol:
        ParameterStatus).
        """
        return Role.READER if getattr(self._raw.get_settings(), "in_hot_standby", "off") == "on" else Role.WRITER

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return not self._raw.is_closed() and bool(self._raw.is_in_transaction())

    async def fetch_one(self, text: str, args: Sequence[Any], timeout: float | None) -> Any:
        """Run a statement and give its first row."""
        try:
            statement = self._statements.get(text) or await self._prepare(text, timeout)
            rows, _, _ = await self._protocol.bind_execute(statement._state, args, "", 1, True, timeout)  # noqa: SLF001
        except _ERRORS as error:
            await self._note(error, text)
            return await self.fetch_one(text, args, timeout)
        except BaseException:
            self.interrupted = True
            raise
        return rows[0] if rows else None

    async def fetch_all(self, text: str, args: Sequence[Any], timeout: float | None) -> list[Any]:
        """Run a statement and give all rows."""
        return (await self._run(text, args, timeout))[0]

    async def execute(self, text: str, args: Sequence[Any], timeout: float | None) -> Result:
        """Run a statement and give the number of rows that it matched."""
        _, tag = await self._run(text, args, timeout)
        count = tag.rpartition(b" ")[2]
        return Result(int(count) if count.isdigit() else 0)

    async def _run(self, text: str, args: Sequence[Any], timeout: float | None) -> tuple[list[Any], bytes]:
        """Give all rows and the command tag."""
        try:
            statement = self._statements.get(text) or await self._prepare(text, timeout)
            rows, tag, _ = await self._protocol.bind_execute(statement._state, args, "", 0, True, timeout)  # noqa: SLF001
        except _ERRORS as error:
            await self._note(error, text)
            return await self._run(text, args, timeout)
        except BaseException:
            self.interrupted = True
            raise
        return rows, tag

    async def insert_many(self, insertion: Insertion, portions: Portions) -> int:
        """Insert rows by COPY; a few as pipelined statements."""
        first = await anext(portions, None) or ()
        try:
            with self._watched(f"insert into {insertion.table}"):
                return await insert_rows(self._raw, insertion, first, portions)
        except SourceError as error:
            raise error.error from None

    async def execute_many(self, text: str, portions: Portions) -> int:
        """Run a statement for each parameter set, pipelined where the rows can be counted."""
        counted = with_returning(text)
        total = 0
        async for portion in portions:
            if counted is None:
                total += sum([await self.execute(text, args, None) for args in portion])
            else:
                with self._watched(text):
                    total += await execute_pipelined(self._raw, counted, portion)
        return total

    async def open_cursor(self, text: str, args: Sequence[Any], timeout: float | None) -> PortalCursor:
        """Open a portal."""
        with self._watched(text):
            # Not one of those kept: inside a transaction a statement that is out of date cannot be prepared again.
            statement = await self._raw.prepare(text, timeout=timeout)
            return PortalCursor(await statement.cursor(*args, timeout=timeout), self._watched)

    async def control(self, text: str, timeout: float | None) -> str:
        """Run BEGIN, COMMIT, ROLLBACK or SAVEPOINT and give the server's command tag."""
        if text.startswith("begin"):
            self._reads_only = "read only" in text
        try:
            return str(await self._raw.execute(text, timeout=timeout))
        except _ERRORS as error:
            raise self._mapped(error, text) from error
        except BaseException:
            self.interrupted = True
            raise

    async def capacity(self, timeout: float | None) -> ServerCapacity:
        """How many connections the server takes; slots that are kept for administrators count as reserved."""
        return ServerCapacity(*await self.fetch_one(CAPACITY, (), timeout))

    async def written_position(self, timeout: float | None) -> Lsn | Xid:
        """Where the writer is now: where its log ends, normalised so that a replica can reach it; on Aurora, an id."""
        return await self._replication.written(timeout)

    async def reader_progress(self, timeout: float | None) -> ReaderProgress:
        """How far this reader has come."""
        return await self._replication.progress(timeout)

    async def enter(self, before: Scope, after: Scope, timeout: float | None) -> None:
        """Take the session from one scope to another, in one round trip."""
        text = change_on_postgres(before, after)
        with self._watched(f"enter {after}"):
            await self._raw.execute(text, timeout=timeout)
        if before.schema != after.schema:
            self._statements = self._kept.enter(after.schema)

    async def reset(self, timeout: float) -> None:
        """Take back everything a caller changed in the session; our own prepared statements survive."""
        try:
            async with asyncio.timeout(timeout):
                await self._raw.reset()
                self._listeners.clear()
                self._statements = await self._kept.reset(self._raw)
        except _ERRORS as error:
            raise self._mapped(error, "reset") from error
        except BaseException:
            self.interrupted = True
            raise

    async def ping(self, timeout: float) -> None:
        """One round trip."""
        await self.fetch_one("select 1", (), timeout)
        self.interrupted = False

    async def close(self, timeout: float) -> None:
        """Say goodbye to the server; abort when that takes longer than ``timeout`` seconds."""
        try:
            await self._raw.close(timeout=timeout)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            self._raw.terminate()

    def abort(self) -> None:
        """Drop the socket at once."""
        self._raw.terminate()

    async def listen(self, channel: str, receive: Callable[[Notification], None], timeout: float | None) -> None:
        """Have the server send a channel's messages from now on."""

        def take(_: object, process_id: int, name: str, payload: str) -> None:
            receive(Notification(name, payload, process_id))

        with self._watched(f"listen {channel}"):
            async with asyncio.timeout(timeout):
                await self._raw.add_listener(channel, take)
        self._listeners[channel] = take

    async def unlisten(self, channel: str, timeout: float | None) -> None:
        """Have the server send a channel's messages no more."""
        take = self._listeners.pop(channel, None)
        if take is not None:
            with self._watched(f"unlisten {channel}"):
                async with asyncio.timeout(timeout):
                    await self._raw.remove_listener(channel, take)

    def on_end(self, call: Callable[[], None]) -> None:
        """Have ``call`` called when the connection has ended, whatever ended it."""
        if self._raw.is_closed():
            call()
        else:
            self._raw.add_termination_listener(lambda _: call())

    async def _prepare(self, text: str, timeout: float | None) -> Any:
        if len(self._statements) >= _STATEMENTS:
            del self._statements[next(iter(self._statements))]
        statement = self._statements[text] = await self._raw.prepare(text, timeout=timeout)
        return statement

    def _ended(self, _: object) -> None:
        self.broken = (
            True  # the server closed an idle connection: whoever holds it next would only learn it the hard way
        )

    async def _note(self, error: Exception, text: str) -> None:
        """Return if the statement is to be prepared again; raise what the error means otherwise."""
        if isinstance(error, asyncpg.OutdatedSchemaCacheError):
            await self._raw.reload_schema_state()  # a composite type has changed: the next call reads it as it is now
        if (
            isinstance(error, asyncpg.InvalidCachedStatementError)
            and self._statements.pop(text, None)
            and not self.in_transaction
        ):
            return  # the table changed under the prepared statement: the server refused to run it, nothing has happened
        raise self._mapped(error, text) from error

    @contextlib.contextmanager
    def _watched(self, text: str) -> Iterator[None]:
        try:
            yield
        except _ERRORS as error:
            raise self._mapped(error, text) from error
        except BaseException:
            self.interrupted = True
            raise

    def _mapped(self, error: Exception, text: str) -> DriverError:
        mapped = _mapped(error, text, self.endpoint)
        if self._read_only and mapped.failure is Failure.READ_ONLY:
            mapped = write_refused(mapped, self.endpoint)
        self.interrupted = self.interrupted or mapped.failure is Failure.TIMEOUT
        # What a read-only transaction refuses says nothing of the host.
        own = mapped.failure is Failure.READ_ONLY and self._reads_only and self.in_transaction
        self.broken = self.broken or not (own or mapped.failure in _HARMLESS)
        return mapped


class StatelessPostgresConnection(PostgresConnection):
    """A connection whose statements have no name on the server: RDS Proxy pins those that have one.

    Each use prepares anew, because nothing would tell that a table has changed since. With its own cache off, asyncpg
    sends Parse, Bind and Execute together, so that it does not matter which server connection the proxy takes.
    """

    __slots__ = ()

    async def fetch_one(self, text: str, args: Sequence[Any], timeout: float | None) -> Any:
        """Run a statement and give its first row."""
        self._statements.clear()
        return await super().fetch_one(text, args, timeout)

    async def _run(self, text: str, args: Sequence[Any], timeout: float | None) -> tuple[list[Any], bytes]:
        self._statements.clear()
        return await super()._run(text, args, timeout)


class AsyncpgDriver:
    """Opens PostgreSQL connections."""

    def __init__(self) -> None:
        self._met: set[Endpoint] = set()  # answered as PostgreSQL: whatever they do later is no other protocol

    capabilities: Final = Capabilities(notifications=True, replication=True)

    async def connect(self, options: ConnectOptions, login: Login) -> PostgresConnection:
        """Open a connection and learn its role from what the server reports of itself."""
        try:
            with postgres_upgrade.cut_when_given_up():
                raw = await _open(options, login, _settings(options))
                await set_json_codecs(raw)
        except Exception as error:
            raise await self._other_protocol(error, options) or _refused(error, options, login) from error
        self._met.add(options.endpoint)
        return StatelessPostgresConnection(raw, options) if options.stateless else PostgresConnection(raw, options)

    async def _other_protocol(self, error: Exception, options: ConnectOptions) -> DriverError | None:
        """Return the error for a server that is no PostgreSQL; None where there is no sign of that."""
        # What asyncpg says when it is greeted by MySQL: to its SSLRequest, and to its startup message.
        signs = "rejected SSL upgrade" in str(error) or isinstance(error, asyncpg.ConnectionDoesNotExistError)
        if not signs or options.endpoint in self._met:
            return None
        return other_protocol(await engine_at(options.endpoint), Engine.POSTGRES, options.endpoint)

    async def replicate(self, options: ConnectOptions, login: Login) -> WalConnection:
        """Open a replication connection to a database."""
        settings = {"application_name": options.application_name, "replication": "database"}
        try:
            with postgres_upgrade.cut_when_given_up():
                raw = await _open(options, login, settings)
        except Exception as error:
            raise _refused(error, options, login) from error
        return WalConnection(raw, options.endpoint, _mapped)


async def _open(options: ConnectOptions, login: Login, settings: dict[str, str]) -> Any:
    host, port = options.endpoint
    raw = await asyncpg.connect(
        host=host,
        port=port,
        user=login.user,
        password=login.password or "",
        database=options.database or login.user,
        ssl=options.tls or False,
        timeout=options.timeout,
        record_class=Row,
        connection_class=_Raw,
        statement_cache_size=0 if options.stateless else 100,
        max_cacheable_statement_size=1,  # none: COPY would keep the columns' types, whatever ALTER does
        server_settings=settings,
    )
    keep_alive(raw._transport.get_extra_info("socket"))  # noqa: SLF001 - asyncpg has no option for it
    return raw


def _settings(options: ConnectOptions) -> dict[str, str]:
    read_only = {"default_transaction_read_only": "on"} if options.read_only else {}
    return {"application_name": options.application_name, **read_only}


def _mapped(error: Exception, text: str, endpoint: object) -> DriverError:
    """Say what an error of a running call means."""
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate:
        return _mapped_answer(error, error.sqlstate, endpoint)
    if isinstance(error, TimeoutError):
        return DriverError(
            Failure.TIMEOUT, QueryTimeout(f"{endpoint} did not answer before the deadline: {_brief(text)}")
        )
    if isinstance(error, asyncpg.DataError | asyncpg.InterfaceError) and not isinstance(
        error, asyncpg.InternalClientError
    ):
        return _mapped_interface(error, endpoint)
    if isinstance(error, OSError | asyncpg.InternalClientError | asyncpg.PostgresError):
        return _lost(error, endpoint)
    return DriverError(Failure.REFUSED, QueryError(f"{type(error).__name__}: {said(error)}"))


def _mapped_answer(error: asyncpg.PostgresError, sqlstate: str, endpoint: object) -> DriverError:
    failure, public = meaning_of_sqlstate(sqlstate, str(error.args[0]))
    if not issubclass(public, QueryError):
        return _lost(error, endpoint)
    if sqlstate in _STATEMENT_LOST:  # asyncpg's own hint is about options that are not ours
        words = f"{escaped(str(error.args[0]))}: {_POOLER}"
    else:
        hint: str | None = getattr(error, "hint", None)
        words = postgres_words(sqlstate, str(error.args[0]), getattr(error, "detail", None), hint)
    return DriverError(failure, public(f"{words} [SQLSTATE {sqlstate}]", sqlstate=sqlstate))


def _mapped_interface(error: Exception, endpoint: object) -> DriverError:
    # asyncpg says "connection is closed" and "underlying connection is closed" with the same class as a wrong argument.
    if "closed" in str(error):
        return _lost(error, endpoint)
    return DriverError(Failure.REFUSED, StatementError(argument_words(str(error))))


def _lost(error: Exception, endpoint: object) -> DriverError:
    return DriverError(Failure.LOST, FailoverError(f"connection to {endpoint} was lost: {said(error)}"))


def _refused(error: Exception, options: ConnectOptions, login: Login) -> DriverError:
    """Say what a failed connect means; ``LOST`` is worth another attempt, ``REFUSED`` is not."""
    endpoint = options.endpoint
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        if _NO_ENCRYPTION.search(str(error)) and options.tls is None and not endpoint.is_unix_socket:
            return tls_demanded(endpoint, error)
        words = said(error)
        message = f"{endpoint} refused the login of user {login.user!r}: {words}; check the user name and the password"
        return DriverError(Failure.REFUSED, AuthenticationError(message))
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate:
        return _refused_answer(error, error.sqlstate, options, login)
    if "rejected SSL upgrade" in str(error):
        return no_tls_offered(endpoint)
    if isinstance(error, OSError | asyncpg.PostgresError | asyncpg.InternalClientError):
        return refused_by_network(error, options)
    return DriverError(Failure.REFUSED, ConfigError(f"cannot connect to {endpoint}: {said(error)}"))


def _refused_answer(error: asyncpg.PostgresError, sqlstate: str, options: ConnectOptions, login: Login) -> DriverError:
    failure = Failure.LOST if is_transient_refusal(sqlstate) else Failure.REFUSED
    kind = TooManyConnections if sqlstate == "53300" else ConnectError
    if sqlstate == "3D000":
        return unknown_database(options, login)
    return DriverError(failure, kind(f"{options.endpoint} refused the connection: {said(error)} [SQLSTATE {sqlstate}]"))


def _brief(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:79]}…"  # noqa: PLR2004 - one terminal line


__all__ = ["AsyncpgDriver", "PostgresConnection", "Row"]
