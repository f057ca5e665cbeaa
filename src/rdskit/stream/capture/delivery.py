"""From the events of a log to changes: what is held back, left out and counted. No I/O.

A transaction's last change carries the checkpoint that covers all of it, so each change is held back until the next
event is known. Servers send a transaction when it is committed, so nothing is late by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rdskit.stream.capture.model import Begin, Checkpoint, Commit, Kind, Mark, Passed, RowEvent

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from rdskit.kernel.ports import Row
    from rdskit.kernel.positions import Position
    from rdskit.stream.capture.model import Event, Table
    from rdskit.stream.capture.snapshot import Snapshot


class Delivered(NamedTuple):
    """A change before it is given to the consumer.

    Attributes:
        kind: what happened.
        table: where.
        old: the row before.
        new: the row after.
        transaction: the id of its transaction; empty for a row of the snapshot.
        committed_at: the time of the commit; None for a row of the snapshot.
        position: everything up to it was delivered: of the last change the transaction too, of others what precedes it.
        before: the last checkpoint before its transaction.
        end: the checkpoint that covers the transaction; only with its last change.
    """

    kind: Kind
    table: Table
    old: Row | None
    new: Row | None
    transaction: str
    committed_at: dt.datetime | None
    position: Position
    before: Checkpoint
    end: Checkpoint | None


class Delivery:
    """Turns events into changes.

    Attributes:
        reached: the last checkpoint: everything up to it was delivered.
        handed: the number of the last checkpoint that came with a change.
    """

    def __init__(self, start: Checkpoint, snapshot: Snapshot | None) -> None:
        self.reached = start
        self.handed = start.number
        self._snapshot = snapshot
        self._begin: Begin | None = None
        self._pending: Delivered | None = None
        self._count = 0  # changes of this transaction, whether delivered or held back
        self._skip = 0  # of these, the ones that were delivered before the connection was lost
        self._partial = ("", 0)

    @property
    def is_between(self) -> bool:
        """Whether no transaction is being received."""
        return self._begin is None

    def reconnected(self) -> None:
        """Forget what was received of the current transaction; what was delivered of it is skipped the next time."""
        if self._begin is not None:
            held = self._pending is not None
            self._partial = (self._begin.transaction, max(self._count - held, self._skip))
        self._begin = self._pending = None
        self._count = self._skip = 0

    def take(self, events: Sequence[Event]) -> list[Delivered]:
        """Return the changes that can be delivered after some events.

        Args:
            events: in the order of the log.
        """
        ready: list[Delivered] = []
        for event in events:
            if type(event) is RowEvent:
                self._row(event, ready)
            elif type(event) is Begin:
                self._begin, self._count = event, 0
                self._skip = self._partial[1] if self._partial[0] == event.transaction else 0
            elif type(event) is Commit:
                self._end(event.position, ready)
            elif type(event) is Passed:
                self._advance(event.position)
            elif type(event) is Mark and self._snapshot is not None:
                self._snapshot.mark(event.text)
        return ready

    def _row(self, event: RowEvent, ready: list[Delivered]) -> None:
        begin = self._begin
        assert begin is not None
        self._count += 1
        if self._snapshot is not None:
            self._snapshot.touch(begin.transaction, event)
        if self._count <= self._skip:
            return
        if self._pending is not None:
            ready.append(self._pending)
        before = self.reached
        self._pending = Delivered(*event, begin.transaction, begin.committed_at, before.position, before, None)

    def _end(self, position: Position, ready: list[Delivered]) -> None:
        self._begin = None
        self._partial = ("", 0)
        self._advance(position)
        if self._pending is not None:
            ready.append(self._pending._replace(end=self.reached, position=position))
            self._pending = None
            self.handed = self.reached.number
        if self._snapshot is not None and (chunk := self._snapshot.finished()) is not None:
            self._read(chunk, ready)

    def _advance(self, position: Position) -> None:
        progress = "" if self._snapshot is None else self._snapshot.progress
        self.reached = Checkpoint(self.reached.number + 1, position, progress)

    def _read(self, rows: Sequence[tuple[Table, Row]], ready: list[Delivered]) -> None:
        """Deliver a chunk of the snapshot as a transaction of its own."""
        before = self.reached
        self._advance(before.position)
        for table, row in rows:
            ready.append(Delivered(Kind.READ, table, None, row, "", None, before.position, before, None))
        if rows:
            ready[-1] = ready[-1]._replace(end=self.reached)
            self.handed = self.reached.number
