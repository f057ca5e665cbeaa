"""The values of the SQL prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

Format = Literal["table", "csv", "json"]


class Answer(NamedTuple):
    """What one statement answered.

    Attributes:
        verb: what the statement did, as in ``SELECT`` or ``CREATE TABLE``.
        seconds: how long it took.
        columns: their names; empty where the statement returns no rows.
        rows: the rows, each with as many values as there are columns.
        affected: rows that were returned, or that a write matched.
        returns_rows: whether the statement has a result set.
        more: there are further rows, which were not fetched.
    """

    verb: str
    seconds: float
    columns: tuple[str, ...] = ()
    rows: Sequence[Sequence[Any]] = ()
    affected: int = 0
    returns_rows: bool = False
    more: bool = False


class Settings(NamedTuple):
    """What the person at the prompt has chosen.

    Attributes:
        timing: show how long each statement took.
        expanded: a line for each value: ``on``, ``off``, or ``auto`` where a row is wider than the terminal.
        limit: rows shown of a query; 0 for all.
        form: how rows are written.
    """

    timing: bool = True
    expanded: str = "auto"
    limit: int = 1000
    form: Format = "table"


class Column(NamedTuple):
    """A column that can be completed."""

    schema: str
    table: str
    name: str
