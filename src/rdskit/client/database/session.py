"""What one user of a database does, and must see: the whole application, or one request of it."""

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
    """Reads that show at least what was written through the same object, and transactions.

    ``Database`` is the session of a whole application; ``db.session()`` gives one for a request. Both share the
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
        """Whether it can be used no more."""
        return self._refusal is not None

    def _leave_to_parent(self) -> None:
        """Be of no use in this process, which was forked from the one that opened it; called by the fork itself."""
        self._refusal = self._refusal or (
            f"the database {self._name} was opened by the process that this one was forked from, and its connections "
            "belong there: connect anew after the fork"
        )

    async def close(self) -> None:
        """End the session: it takes no more calls; those under way go on."""
        self._refusal = self._refusal or f"this session of {self._name} has ended; open another with db.session()"

    async def token(self, *, timeout: float | None = DEFAULT) -> str:
        """What was written through this object so far, for others to read: ``fetch_all(…, after=token)``.

        The token is a short text for a cookie or a header. It says how far the writer's log has come, and until when
        it counts: an hour. It is signed with ``token_key=`` of ``connect``, and only read where that key is the same.

        Args:
            timeout: seconds to learn how far the writer has come, if that is not known yet.

        Raises:
            ConnectError: the writer cannot be reached to ask it.
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
            table: its name, with the schema in front where it needs one (``sales.orders``), in exact spelling.
            rows: mappings with the same keys, which are the columns: any iterable or async iterable, read while the
                rows are sent. If it can be read again, the whole insert is repeated after a failover.
            on_conflict: what happens to a row that is there already: ``"ignore"`` keeps it, ``"update"`` overwrites its
                given columns; None refuses the whole insert.
            key: the columns of the unique key that tells a row that is there; by default the primary key for
                ``"update"`` and any unique key for ``"ignore"``. MySQL and MariaDB look at every unique key in any
                case; there it only says which columns are not overwritten.
            conflict_where: PostgreSQL: the condition of a partial unique index over ``key``, as SQL that is not made
                from anyone's input: ``"deleted_at is null"``.
            index: PostgreSQL: the name of a unique index that tells a row that is there, in place of ``key``; it may be
                partial, or over expressions.
            timeout: seconds for the whole call. Without it, the timeout of ``connect`` counts for each portion that
                the server is sent, and the time that ``rows`` take does not count.

        Returns:
            How many rows were inserted or updated.

        Raises:
            ConfigError: a row has other keys than the first one; nothing was inserted.
            IntegrityError: a constraint refused a row; nothing was inserted.
            OutcomeUnknown: the connection was lost while the insert was committed, and it cannot be found out what
                became of it: the database has no tables of ``setup``, or nobody could be asked in time.
            FailoverError: the connection was lost and nothing was inserted; ``rows`` can be read only once, so it is
                not tried again.
        """

        async def send(tx: Transaction) -> Result:
            return await tx.send_rows(table, rows, Conflict(on_conflict, key, conflict_where, index))

        call = self._send(send, rows, timeout)
        return await observe_bulk(self._cluster.observers, "insert_many", table, call)

    async def execute_many(self, sql: str, sets: Source, *, timeout: float | None = DEFAULT) -> Result:
        """Run a statement for each parameter set, all in one transaction; pipelined on PostgreSQL.

        Args:
            sql: one statement with ``:name`` parameters that gives no rows.
            sets: mappings of its parameters: any iterable or async iterable, read while they are sent.
            timeout: as for ``insert_many``.

        Returns:
            How many rows it matched in all.
        """

        async def send(tx: Transaction) -> Result:
            return await tx.send_sets(sql, sets)

        call = self._send(send, sets, timeout)
        return await observe_bulk(self._cluster.observers, "execute_many", sql, call)

    async def _send(
        self, send: Callable[[Transaction], Coroutine[Any, Any, Result]], source: Source, timeout: float | None
    ) -> Result:
        limit = None if timeout is DEFAULT else require_seconds("timeout", timeout)
        if isinstance(source, Collection):  # what can be read once only is sent once only
            return await self.run(send, timeout=limit)
        async with self.transaction(timeout=limit) as tx:
            return await send(tx)
