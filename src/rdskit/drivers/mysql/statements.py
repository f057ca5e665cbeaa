"""Statements that the server has prepared for one connection.

Every query comes through here, so the way is short: asyncmy hands the rows of a result whose columns it knows already
directly to the statement, without the objects in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncmy.errors import MySQLError

from rdskit.drivers.mysql.failures import number_of
from rdskit.drivers.mysql.rows import Shape
from rdskit.errors import StatementError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.kernel.ports import Row

# A server keeps 16,382 in all (max_prepared_stmt_count): enough for 128 connections.
_KEPT: Final = 128
_UNPREPARABLE: Final = 1295
_PREPARE_AGAIN: Final = frozenset({1243, 1615})  # unknown statement (a proxy changed sides), changed too often
_NOTHING: Final = Shape(())
_Values = tuple[Any, ...]


class Prepared:
    """One statement, and what its last run gave.

    Attributes:
        statement: asyncmy's, or what stands in for it.
        used: it was run again since it was last considered for removal.
        matched: how many rows the statement returned or matched.
        last_id: the id generated for the last inserted row; 0 if none was.
        rows: the values that it returned; whoever takes them leaves none behind.
        shape: what makes rows of them.
    """

    __slots__ = ("last_id", "matched", "rows", "shape", "statement", "used")

    def __init__(self, statement: Any) -> None:
        self.statement = statement
        self.used = False
        self.matched = 0
        self.last_id = 0
        self.rows: Sequence[_Values] = ()
        self.shape = _NOTHING

    def _set_cached_rows(self, rows: Sequence[_Values], description: Any) -> None:
        # asyncmy's name: it gives rows to whatever was passed as the cursor.
        if description is not self.shape.description:
            self.shape = Shape(description)
        self.rows = rows
        self.matched = len(rows)
        self.last_id = 0

    def take(self, result: Any) -> None:
        """Take an answer that asyncmy could not hand over directly: the first one, or one without rows."""
        if result.description is not None:
            self._set_cached_rows(result.rows or (), result.description)
        else:
            self.rows = ()
            self.matched = result.affected_rows
            self.last_id = result.insert_id

    def first(self) -> Row | None:
        """The first row, if any; nothing is kept."""
        rows, self.rows = self.rows, ()
        return self.shape.row(rows[0]) if rows else None

    def all(self) -> list[Row]:
        """All rows; nothing is kept."""
        rows, self.rows = self.rows, ()
        return self.shape.rows(rows)

    def result(self) -> Result:
        """How many rows the statement returned or matched, and the id it generated."""
        self.rows = ()
        return Result(self.matched, self.last_id or None)


class _Text:
    """Stands in for a statement that the server cannot prepare."""

    def __init__(self, raw: Any, text: str) -> None:
        self._raw = raw
        self._text = text

    async def _execute_cursor(self, args: Sequence[Any], _: Any) -> bool:
        if args:
            message = (
                f"the server cannot prepare {self._text.strip()!r}, so it cannot take parameters [{_UNPREPARABLE}]"
            )
            raise DriverError(Failure.REFUSED, StatementError(message, errno=_UNPREPARABLE))
        await self._raw.query(self._text)
        return False

    async def close(self) -> None:
        """Nothing is kept on the server."""


class Statements(dict[str, Prepared]):
    """The statements that were used last, by their texts; the rest are closed on the server too."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Any) -> None:
        super().__init__()
        self._raw = raw

    async def prepare(self, text: str) -> Prepared:
        """Have the server prepare a statement."""
        if len(self) >= _KEPT:
            await self._removed().statement.close()  # sends, and waits for no answer
        try:
            statement = await self._raw.prepare(text)
        except MySQLError as error:
            if number_of(error) != _UNPREPARABLE:
                raise
            statement = _Text(self._raw, text)
        prepared = self[text] = Prepared(statement)
        return prepared

    def is_outdated(self, text: str, error: Exception) -> bool:
        """Whether the server refused to run a statement that was prepared before, and preparing it anew may help.

        The statement is forgotten then; nothing has happened.
        """
        if number_of(error) not in _PREPARE_AGAIN:
            return False
        prepared = self.pop(text, None)
        return prepared is not None and prepared.used

    def _removed(self) -> Prepared:
        """The oldest of those that were not used since they were last considered (the clock algorithm)."""
        while True:
            text = next(iter(self))
            oldest = self.pop(text)
            if not oldest.used:
                return oldest
            oldest.used = False
            self[text] = oldest
