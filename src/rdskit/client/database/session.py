"""Define the session of a database: reads see what was written through the same object."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, TypeVar

from rdskit.client.database.fork_safety import belongs_to_this_process
from rdskit.client.database.queries import DEFAULT
from rdskit.client.database.transactional import Transactional
from rdskit.client.statements.observed import observe_bulk
from rdskit.kernel.arguments import require_seconds
from rdskit.kernel.sql.insert import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from rdskit.client.database.context import SessionContext
    from rdskit.client.statements import Source
    from rdskit.client.transactions import Transaction
    from rdskit.kernel.ports import Result
    from rdskit.kernel.sql.insert import OnConflict

T = TypeVar("T")


class Session(Transactional):
    """Reads that see at least what was written through the same object, and transactions.

    ``Database`` is the session of the whole application; ``db.session()`` returns one for a request. All share the
    connections of the database.
    """

    def __init__(self, context: SessionContext) -> None:
        super().__init__(context)
        self._name = context.shared.name
        self._written = context.written
        belongs_to_this_process(self, Session._leave_to_parent)

    def __repr__(self) -> str:
        return f"<rdskit.{type(self).__name__} {self._name}{' (closed)' if self.closed else ''}>"

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._refusal is not None

    def _leave_to_parent(self) -> None:
        """Refuse all calls in a forked child; called right after the fork."""
        self._refusal = self._refusal or (
            f"the database {self._name} was opened by the process that this one was forked from, and its connections "
            "belong there: connect again after the fork"
        )

    async def close(self) -> None:
        """End the session: it refuses further calls; running ones continue."""
        self._refusal = self._refusal or f"this session of {self._name} has ended; open another with db.session()"

    async def token(self, *, timeout: float | None = DEFAULT) -> str:
        """Return a token for all writes through this object so far: ``fetch_all(…, after=token)`` sees them.

        The token is a short text for a cookie or a header. It contains the writer's position, and is valid for an hour.
        It is signed with ``token_key=`` of ``connect``; a process needs the same key to read it.

        Args:
            timeout: seconds to read the writer's position, if it is not known yet.

        Raises:
            ConnectError: the writer cannot be reached.
        """
        self._require_open()
        return self._tokens.issue(await self._written.settled(self._cluster, self._limit(timeout)))

    # -- many rows -------------------------------------------------------------------------------------------------

    async def insert_many(
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
        """Insert many rows, all or none: by COPY on PostgreSQL, by statements of many rows on MySQL and MariaDB.

        Args:
            table: its name in exact spelling, with its schema if needed (``sales.orders``).
            rows: mappings with the same keys, which are the columns: any iterable or async iterable, read while the
                rows are sent. If it is a collection, the whole insert is retried after a failover.
            on_conflict: what to do with a row that exists already: ``"ignore"`` keeps it, ``"update"`` overwrites the
                given columns; None refuses the whole insert.
            key: the columns of the unique key that identifies existing rows; by default the primary key for
                ``"update"`` and any unique key for ``"ignore"``. MySQL and MariaDB always check every unique key;
                there it only names the columns not to overwrite.
            conflict_where: PostgreSQL: the condition of a partial unique index over ``key``, such as
                ``"deleted_at is null"``. It is SQL, so never build it from user input.
            index: PostgreSQL: the name of a unique index that identifies existing rows, instead of ``key``; it may be
                partial, or over expressions.
            timeout: seconds for the whole call. Without it, the timeout of ``connect`` applies to each batch, and the
                time that ``rows`` takes does not count.

        Returns:
            How many rows were inserted or updated.

        Raises:
            ConfigError: a row has other keys than the first one; nothing was inserted.
            IntegrityError: a constraint refused a row; nothing was inserted.
            OutcomeUnknown: the connection was lost during COMMIT, and the outcome could not be found out: the database
                has no tables of ``setup``, or no writer answered in time.
            FailoverError: the connection was lost, and nothing was inserted. It is not retried, because ``rows`` can be
                read only once.
        """

        async def send(tx: Transaction) -> Result:
            return await tx.send_rows(table, rows, Conflict(on_conflict, key, conflict_where, index))

        call = self._send(send, rows, timeout)
        return await observe_bulk(self._cluster.observers, "insert_many", table, call)

    async def execute_many(self, sql: str, sets: Source, *, timeout: float | None = DEFAULT) -> Result:
        """Run a statement for each parameter set, all in one transaction; pipelined on PostgreSQL.

        Args:
            sql: one statement with ``:name`` parameters that returns no rows.
            sets: mappings of its parameters: any iterable or async iterable, read while they are sent.
            timeout: as for ``insert_many``.

        Returns:
            The total number of rows matched.
        """

        async def send(tx: Transaction) -> Result:
            return await tx.send_sets(sql, sets)

        call = self._send(send, sets, timeout)
        return await observe_bulk(self._cluster.observers, "execute_many", sql, call)

    async def _send(
        self, send: Callable[[Transaction], Coroutine[Any, Any, Result]], source: Source, timeout: float | None
    ) -> Result:
        # No limit by default: the time of the caller's source does not count, and each batch has its own timeout.
        limit = None if timeout is DEFAULT else require_seconds("timeout", timeout)
        if isinstance(source, Collection):  # a retry reads the rows again, which an iterator does not allow
            return await self.run(send, timeout=limit)
        async with self.transaction(timeout=limit) as tx:
            return await send(tx)
