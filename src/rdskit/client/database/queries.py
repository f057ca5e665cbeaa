"""Run single statements, streams and pages outside a transaction of the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from rdskit.client.database.streaming import Reading, Streaming, require_plain_read
from rdskit.client.statements import Pages, calls, into_all, into_one, into_value, require_stream
from rdskit.client.statements.observed import observe_stream
from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_seconds, require_text
from rdskit.kernel.positions import START
from rdskit.kernel.sql import STREAM_OPTIONS, bind_call, one_mapping, sql_expected
from rdskit.kernel.sql.keyset import keyset
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Sequence

    from rdskit.client.database.context import SessionContext
    from rdskit.client.statements import Page
    from rdskit.kernel.ports import Params, Result, Row
    from rdskit.kernel.sql import Dialect

T = TypeVar("T")


class _Default(float):
    """Stands for the timeout of ``connect``, because None means no limit."""


DEFAULT = _Default()


class Queries:
    """The methods of a database for statements outside a transaction.

    All methods that use the server take ``timeout=``: seconds for the whole call, including retries and the wait for a
    connection; None for no limit. Parameters are keywords, or one mapping as second argument.
    """

    def __init__(self, context: SessionContext) -> None:
        shared = context.shared
        self._cluster = shared.cluster
        self._statements = shared.statements
        self._tokens = shared.tokens
        self._timeout = shared.timeout
        self._executor = context.executor
        self._refusal: str | None = None  # why it refuses calls, once it does

    def _require_open(self) -> None:
        if self._refusal is not None:
            raise ConfigError(self._refusal)

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
    ) -> Coroutine[Any, Any, Row | None]: ...
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
    ) -> Coroutine[Any, Any, T | None]: ...
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
    ) -> Coroutine[Any, Any, Any]:
        """Run a statement and return its first row, or None.

        Args:
            sql: one statement with ``:name`` parameters.
            params: its parameters as a mapping, instead of keywords.
            into: the type to convert the row to: a dataclass, ``msgspec.Struct``, pydantic model, named tuple, typed
                dictionary or ``dict``. Its fields are the columns.
            timeout: seconds for the whole call.
            after: a ``token()`` of this cluster from any process: the statement sees all writes that it covers.
            named: its parameters.

        Raises:
            ConfigError: the parameters do not fit the text, or the columns do not fit ``into``.
            QueryError: the server refused it.
            ConnectError: there was no connection before the deadline.
            OutcomeUnknown: it may have changed data, and the answer was lost.
        """
        if self._refusal is not None:
            self._require_open()
        try:
            # A dictionary that compiles on a miss, so a known text costs one look-up. Only text can be a key.
            statement = self._statements[sql]
        except TypeError as error:
            raise sql_expected(sql, error) from None
        call = self._executor.run(
            calls.fetch_one,
            statement,
            params,
            named,
            self._timeout if timeout is DEFAULT else require_seconds("timeout", timeout),
            START if after is None else self._tokens.read(after),
        )
        return call if into is None else _one(call, into)

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
    ) -> Coroutine[Any, Any, list[Row]]: ...
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
    ) -> Coroutine[Any, Any, list[T]]: ...
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
    ) -> Coroutine[Any, Any, Any]:
        """Run a statement and return all its rows; arguments and errors as for ``fetch_one``."""
        if self._refusal is not None:
            self._require_open()
        try:
            statement = self._statements[sql]
        except TypeError as error:
            raise sql_expected(sql, error) from None
        call = self._executor.run(
            calls.fetch_all,
            statement,
            params,
            named,
            self._timeout if timeout is DEFAULT else require_seconds("timeout", timeout),
            START if after is None else self._tokens.read(after),
        )
        return call if into is None else _all(call, into)

    @overload
    async def fetch_value(
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
    async def fetch_value(
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
    async def fetch_value(
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
        """Return the first column of a statement's first row, or None; otherwise like ``fetch_one``.

        Args:
            sql: as for ``fetch_one``.
            params: as for ``fetch_one``.
            into: the type that the value must have, such as ``int``; it is checked, not converted.
            timeout: seconds for the whole call.
            after: as for ``fetch_one``.
            named: as for ``fetch_one``.

        Raises:
            ConfigError: the value is of another type.
        """
        row = await self.fetch_one(sql, params, timeout=timeout, after=after, **named)
        if into is not None:
            return into_value(row, into)
        return None if row is None else row[0]

    def execute(
        self, sql: str, params: Params | None = None, /, *, timeout: float | None = DEFAULT, **named: Any
    ) -> Coroutine[Any, Any, Result]:
        """Run a statement and return the number of rows that it matched; otherwise like ``fetch_one``."""
        if self._refusal is not None:
            self._require_open()
        # A text that is no string is unhashable or unknown: the look-up itself finds that, without a test per query.
        try:
            statement = self._statements[sql]
        except TypeError as error:
            raise sql_expected(sql, error) from None
        limit = self._timeout if timeout is DEFAULT else require_seconds("timeout", timeout)
        return self._executor.run(calls.execute, statement, params, named, limit)

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
    ) -> AsyncGenerator[Row, None]: ...
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
    ) -> AsyncGenerator[T, None]: ...
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
    ) -> AsyncGenerator[Any, None]:
        """Read a query row by row, from a cursor on the server: ``async for row in db.stream("select …")``.

        All rows come from one snapshot. The stream holds a connection until it ends. After leaving the loop early, the
        connection goes back when the generator is closed: at once with
        ``async with contextlib.aclosing(db.stream(…)) as rows``.

        Args:
            sql: one query with ``:name`` parameters that only reads (``tx.stream`` may do more).
            params: its parameters as a mapping, instead of keywords.
            into: the type to convert each row to, as for ``fetch_one``.
            batch: rows fetched and kept in memory at a time.
            timeout: seconds for the whole stream, including the caller's own work between the rows. Without it, the
                timeout of ``connect`` applies to each batch, and the caller's own work does not count.
            after: a ``token()``, as for ``fetch_one``.
            named: its parameters.

        Raises:
            ConfigError: the parameters do not fit the text, or the statement writes.
            FailoverError: the connection was lost after the first batch; before it, the stream retries.
        """
        self._require_open()
        statement = self._statements.of(sql)
        sent, args = bind_call(statement, params, named, STREAM_OPTIONS)
        require_stream(statement, batch)
        require_plain_read(statement)
        deadline = Deadline.after(None if timeout is DEFAULT else require_seconds("timeout", timeout))
        reading = Reading(statement, sent, args, batch, deadline, self._timeout, self._tokens.read(after))
        rows = Streaming(self._cluster, self._executor).rows(reading, into, self._connect_deadline(deadline))
        return observe_stream(self._cluster.observers, sql, rows) if self._cluster.observers else rows

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
    ) -> AsyncGenerator[Page[Row], None]: ...
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
    ) -> AsyncGenerator[Page[T], None]: ...
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
    ) -> AsyncGenerator[Page[Any], None]:
        """Read a query page by page: ``async for page in db.pages("select …", key=("created_at desc", "id"))``.

        A page starts after the last row of the previous one, not at an offset. So all pages cost the same, and rows
        inserted or deleted in between neither repeat nor hide others. No connection is held between two pages.

        Args:
            sql: one query with ``:name`` parameters, without an order of its own.
            params: its parameters as a mapping, instead of keywords.
            key: the order: columns of the result, each optionally with ``desc``; unique together and never NULL.
            into: the type to convert each row to, as for ``fetch_one``.
            size: rows on a page.
            after: ``page.next`` of an earlier page, to continue after it. (For a token, use ``db.session``.)
            before: ``page.previous`` of an earlier page, to go backward from it.
            timeout: seconds for each page.
            named: its parameters.

        Raises:
            ConfigError: the key, a cursor or a parameter is invalid.
        """
        self._require_open()
        limit = timeout if timeout is DEFAULT else require_seconds("timeout", timeout)
        query = keyset(require_text("sql", sql), key, self._statements.dialect)
        pages = Pages(query, one_mapping(params, named), size, after, before)

        def fetch(page: str, values: Params) -> Coroutine[Any, Any, list[Row]]:
            return self.fetch_all(page, values, timeout=limit)

        return pages.read(fetch, into)

    def _connect_deadline(self, deadline: Deadline) -> Deadline:
        """Return when waiting for a connection ends."""
        return deadline.within(self._timeout)


async def _one(call: Coroutine[Any, Any, Row | None], kind: type[T]) -> T | None:
    return into_one(await call, kind)


async def _all(call: Coroutine[Any, Any, list[Row]], kind: type[T]) -> list[T]:
    return into_all(await call, kind)


def dialect_of(db: Queries) -> Dialect:
    """Return the SQL dialect of a database."""
    return db._statements.dialect  # noqa: SLF001 - a function of this class, which is not on its public surface
