"""What flows through a change stream: events of a server's log, tables, and checkpoints."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import datetime as dt

    from rdskit.kernel.ports import Row
    from rdskit.kernel.positions import Position


class Kind(StrEnum):
    """What happened to a row, or to a whole table."""

    READ = "read"
    """The row was there when the stream began; only with ``start="snapshot"``."""
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    TRUNCATE = "truncate"
    """All rows of the table are gone; the change has no row."""


class Unchanged:
    """A value that an update left as it was and that the log does not contain; `UNCHANGED` is the only one."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNCHANGED"

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = Unchanged()


class Table(NamedTuple):
    """A table that is captured.

    Attributes:
        given: its name as the caller spelled it.
        schema: of PostgreSQL; the database's name on MySQL and MariaDB.
        name: without the schema.
        key: the columns of its primary key, in order; empty without one.
    """

    given: str
    schema: str
    name: str
    key: tuple[str, ...] = ()


class Begin(NamedTuple):
    """A transaction begins.

    Attributes:
        transaction: its id: the ``xid`` of PostgreSQL, or a GTID.
        committed_at: the time of its commit, in UTC.
    """

    transaction: str
    committed_at: dt.datetime


class RowEvent(NamedTuple):
    """A row, or a whole table, has changed."""

    kind: Kind
    table: Table
    old: Row | None
    new: Row | None


class Commit(NamedTuple):
    """The transaction has ended; everything up to here is included in ``position``."""

    position: Position


class Passed(NamedTuple):
    """The log has been read up to ``position``, between two transactions."""

    position: Position


class Mark(NamedTuple):
    """A watermark, which `snapshot` has written into the log."""

    text: str


Event = Begin | RowEvent | Commit | Passed | Mark


class Checkpoint(NamedTuple):
    """What a consumer has processed.

    Attributes:
        number: orders the checkpoints of one stream.
        position: everything up to here is included.
        snapshot: how far the snapshot has come, as `snapshot.Progress` writes it; empty without one.
    """

    number: int
    position: Position
    snapshot: str = ""


class Stored(NamedTuple):
    """A consumer's row in ``rdskit_changes``.

    Attributes:
        position: of the last checkpoint; None while its slot is being created.
        confirmed: how far the server may have forgotten its log; None where there is no slot.
        snapshot: how far the snapshot has come; empty without one.
        tables: as the caller spelled them when it began.
        system: identifies the server's data; empty where positions do that.
    """

    position: Position | None
    confirmed: Position | None
    snapshot: str
    tables: tuple[str, ...]
    system: str


Value = Any
