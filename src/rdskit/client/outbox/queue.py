"""Select the next messages on each engine, and lock them against other relays until the transaction ends.

Delivered messages are deleted; the relay keeps no position. So a transaction that commits late, with ids below those
already delivered, loses no message.
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
    """A way to select the next messages.

    Attributes:
        is_settling: there may be messages, but a running transaction may still publish an earlier one.
    """

    is_settling: bool

    async def select(self, tx: Transaction, most: int) -> list[Row]:
        """Return the next messages, in order."""
        ...

    def forget(self) -> None:
        """Drop the state that belongs to this server, because another one may answer next."""
        ...


class Unordered:
    """Select messages that no other relay has locked; a failed one waits for its retry and blocks no others."""

    is_settling = False

    def __init__(self, dialect: Dialect) -> None:
        due = _IS_DUE[dialect]
        self._text = (
            f"select {_COLUMNS.format(due)} from rdskit_outbox where {due} "  # noqa: S608 - our own words
            "order by id limit :most for update skip locked"
        )

    async def select(self, tx: Transaction, most: int) -> list[Row]:
        """Return the next messages that no other relay has locked."""
        return await tx.fetch_all(self._text, most=most)

    def forget(self) -> None:
        """Do nothing: this queue has no state."""


class OrderedByLocks:
    """Select messages in order on MySQL and MariaDB, by a read that waits for locks.

    A locking read waits at each row whose transaction is still running. So rows come in the order of their ids, and a
    second relay waits at the first row. However, InnoDB reserves an id before it inserts the row: a read that passes
    that place in between returns higher ids first.

    Causal order holds all the same. The query evaluates the current time at its start, so a message published later is
    not due for it. Hence everything committed before a due message existed when the read began.
    """

    is_settling = False
    _TEXT: Final = (
        f"select {_COLUMNS.format(_IS_DUE[Dialect.MYSQL])} "  # noqa: S608 - our own words
        "from rdskit_outbox order by id limit :most for update"
    )

    async def select(self, tx: Transaction, most: int) -> list[Row]:
        """Return the next messages, up to one that failed and waits for its retry."""
        return _due(await tx.fetch_all(self._TEXT, most=most))

    def forget(self) -> None:
        """Do nothing: this queue has no state."""


class OrderedBySnapshot:
    """Select messages in order on PostgreSQL, up to a frontier below which no id can still appear.

    The frontier is the last id of the sequence at some moment. A transaction takes its transaction id before a message
    id. So all transactions that may have taken an id up to the frontier have lower transaction ids than one that begins
    after that moment. Once no lower transaction id is running, all ids up to the frontier are committed or rolled back.

    Messages are delivered in the total order of their ids, which is also causal: everything committed before a message
    was published comes before it.
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
        """Return the next messages, up to the frontier and up to one that failed and waits for its retry."""
        if not await tx.fetch_value(self._LOCK, number=_LOCK_NUMBER):
            return []  # another relay holds the lock until its transaction ends
        last = await self._settled(tx)
        self.is_settling = last is None and self._frontier is not None
        if last is None:
            return []
        rows = await tx.fetch_all(self._TEXT, last=last, most=most)
        # A full batch may leave messages below the frontier, so the next batch reuses it.
        if len(rows) < most:
            self._frontier = None
        return _due(rows)

    def forget(self) -> None:
        """Drop the frontier: a new server's transaction ids cannot be compared with it."""
        self._frontier = None

    async def _settled(self, tx: Transaction) -> int | None:
        if self._frontier is None:
            row = await tx.fetch_one(self._LAST)
            assert row is not None, "a sequence has one row"
            last, has_rows = row
            if not has_rows:
                return None
            # Read the sequence first, then take a transaction id: the order that the class's argument needs.
            self._frontier = last, await tx.fetch_value(self._NUMBER)
        last, number = self._frontier
        return int(last) if await tx.fetch_value(self._OLDEST) >= number else None


def queue_of(dialect: Dialect, *, ordered: bool) -> Queue:
    """Return the queue for an engine and an order."""
    if not ordered:
        return Unordered(dialect)
    return OrderedBySnapshot() if dialect is Dialect.POSTGRES else OrderedByLocks()


def postponement(dialect: Dialect) -> str:
    """Return the statement that counts a failure and delays the message's next delivery."""
    return (
        f"update rdskit_outbox set attempts = attempts + 1, available_at = {_POSTPONE[dialect]} "  # noqa: S608 - ours
        "where id = :id"
    )


def _due(rows: list[Row]) -> list[Row]:
    # Messages behind a failed one must not overtake it.
    count = next((number for number, row in enumerate(rows) if not row.available), len(rows))
    return rows[:count]
