"""Which messages are next, on each engine; whoever has selected them keeps others from them until the transaction ends.

Messages are deleted when they are delivered, and no position is kept: a transaction that commits late, with ids below
those that were delivered, loses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from rdskit.client.transactions import lock_number
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    from rdskit.client.transactions import Transaction
    from rdskit.kernel.ports import Row

_LOCK_NUMBER: Final = lock_number("rdskit outbox")
_COLUMNS: Final = "id, topic, message_key, payload, headers, attempts, created_at, {} as available"
_IS_DUE: Final = {
    Dialect.POSTGRES: "available_at <= clock_timestamp()",
    Dialect.MYSQL: "available_at <= current_timestamp(6)",
}
_POSTPONE: Final = {
    Dialect.POSTGRES: "clock_timestamp() + make_interval(secs => :pause)",
    Dialect.MYSQL: "timestampadd(microsecond, :pause * 1000000, current_timestamp(6))",
}


class Queue(Protocol):
    """Where messages come from.

    Attributes:
        is_settling: there may be messages, but a transaction that is still running may have an earlier one.
    """

    is_settling: bool

    async def select(self, tx: Transaction, most: int) -> list[Row]:
        """The next messages, in their order."""
        ...

    def forget(self) -> None:
        """Forget what was learned from the server: it may be another one now."""
        ...


class Unordered:
    """Messages that no other relay has; one that failed waits for its time and holds up nobody."""

    is_settling = False

    def __init__(self, dialect: Dialect) -> None:
        due = _IS_DUE[dialect]
        self._text = (
            f"select {_COLUMNS.format(due)} from rdskit_outbox where {due} "  # noqa: S608 - our own words
            "order by id limit :most for update skip locked"
        )

    async def select(self, tx: Transaction, most: int) -> list[Row]:
        """The next messages."""
        return await tx.fetch_all(self._text, most=most)

    def forget(self) -> None:
        """Nothing was learned."""


class OrderedByLocks:
    """MySQL and MariaDB: a locking read waits at each row whose transaction has not ended.

    So rows come in the order of their ids, and a second relay waits at the first one. An id is reserved before its row
    is there, though: a read that passes its place meanwhile gives higher ids first. What is delivered is still in the
    order of causes: a message that was published after the read began is not yet due for it, so all that was committed
    before one that is due was there when the read began.
    """

    is_settling = False
    _TEXT: Final = (
        f"select {_COLUMNS.format(_IS_DUE[Dialect.MYSQL])} "  # noqa: S608 - our own words
        "from rdskit_outbox order by id limit :most for update"
    )

    async def select(self, tx: Transaction, most: int) -> list[Row]:
        """The next messages, up to one that failed and must wait."""
        return _due(await tx.fetch_all(self._TEXT, most=most))

    def forget(self) -> None:
        """Nothing was learned."""


class OrderedBySnapshot:
    """PostgreSQL: no id at or below the frontier is still to come.

    The frontier is the last id given out before some moment. Each transaction that has taken an id had its number
    before, so it has a lower number than one begun after that moment; once no lower number is running, all ids up to
    the frontier are committed or gone. What is delivered is the total order of the ids, and that of causes: what was
    committed before a message was published comes before it.
    """

    _LOCK: Final = "select pg_try_advisory_xact_lock(:number)"
    _LAST: Final = (
        "select case when is_called then last_value else 0 end, exists (select from rdskit_outbox) "
        "from rdskit_outbox_id_seq"
    )
    _NUMBER: Final = "select pg_current_xact_id()::text::bigint"
    _OLDEST: Final = "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
    _TEXT: Final = (
        f"select {_COLUMNS.format(_IS_DUE[Dialect.POSTGRES])} "  # noqa: S608 - our own words
        "from rdskit_outbox where id <= :last order by id limit :most"
    )

    def __init__(self) -> None:
        self.is_settling = False
        self._frontier: tuple[int, int] | None = None

    async def select(self, tx: Transaction, most: int) -> list[Row]:
        """The next messages, up to the frontier and to one that failed and must wait."""
        if not await tx.fetch_value(self._LOCK, number=_LOCK_NUMBER):
            return []  # another relay is at work
        last = await self._settled(tx)
        self.is_settling = last is None and self._frontier is not None
        if last is None:
            return []
        rows = await tx.fetch_all(self._TEXT, last=last, most=most)
        if len(rows) < most:
            self._frontier = None
        return _due(rows)

    def forget(self) -> None:
        """Numbers of another server say nothing here."""
        self._frontier = None

    async def _settled(self, tx: Transaction) -> int | None:
        if self._frontier is None:
            row = await tx.fetch_one(self._LAST)
            assert row is not None, "a sequence has one row"
            last, has_rows = row
            if not has_rows:
                return None
            self._frontier = last, await tx.fetch_value(self._NUMBER)
        last, number = self._frontier
        return int(last) if await tx.fetch_value(self._OLDEST) >= number else None


def queue_of(dialect: Dialect, *, ordered: bool) -> Queue:
    """The way to select messages on an engine."""
    if not ordered:
        return Unordered(dialect)
    return OrderedBySnapshot() if dialect is Dialect.POSTGRES else OrderedByLocks()


def postponement(dialect: Dialect) -> str:
    """The statement that counts a failure and has the message wait."""
    return (
        f"update rdskit_outbox set attempts = attempts + 1, available_at = {_POSTPONE[dialect]} "  # noqa: S608 - ours
        "where id = :id"
    )


def _due(rows: list[Row]) -> list[Row]:
    count = next((number for number, row in enumerate(rows) if not row.available), len(rows))
    return rows[:count]
