"""Value types of the SQL prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

Format = Literal["table", "csv", "json"]


class Answer(NamedTuple):
    """The result of one statement.

    Attributes:
        verb: the statement's verb, such as ``SELECT`` or ``CREATE TABLE``.
        seconds: how long it took.
        columns: their names; empty where the statement returns no rows.
        rows: the rows, each with as many values as there are columns.
        affected: how many rows were returned, or matched by a write.
        returns_rows: whether the statement has a result set.
        more: whether there are further rows, which were not fetched.
    """

    verb: str
    seconds: float
    columns: tuple[str, ...] = ()
    rows: Sequence[Sequence[Any]] = ()
    affected: int = 0
    returns_rows: bool = False
    more: bool = False


class Settings(NamedTuple):
    """The display settings of the prompt.

    Attributes:
        timing: show how long each statement took.
        expanded: a line for each value: ``on``, ``off``, or ``auto`` where a row is wider than the terminal.
        limit: rows shown of a query; 0 for all.
        form: the format of rows.
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
