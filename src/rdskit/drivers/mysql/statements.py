"""Statements that the server has prepared for one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncmy.errors import MySQLError

from rdskit.drivers.mysql.failures import number_of
from rdskit.drivers.mysql.rows import Shape
from rdskit.drivers.mysql.values import bound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.kernel.ports import Row

# A server keeps 16,382 in all (max_prepared_stmt_count): enough for 128 connections.
_KEPT: Final = 128
_UNPREPARABLE: Final = 1295
_PREPARE_AGAIN: Final = frozenset({1243, 1615})  # unknown statement (a proxy changed sides), changed too often
_NOTHING: Final = Shape(())


class Answer:
    """What a statement gave.

    Attributes:
        rows: the rows as plain tuples; none for a statement without a result.
        shape: makes rows of them.
        matched: how many rows the statement returned or matched.
        last_id: the id generated for the last inserted row; 0 if none was.
    """

    __slots__ = ("last_id", "matched", "rows", "shape")

    def __init__(self, result: Any, shape: Shape) -> None:
        self.rows: tuple[tuple[Any, ...], ...] = result.rows or ()
        self.shape = shape
        self.matched: int = result.affected_rows
        self.last_id: int = result.insert_id

    def all(self) -> list[Row]:
        """All rows."""
        return self.shape.rows(self.rows)

    def first(self) -> Row | None:
        """The first row, if any."""
        return self.shape.rows(self.rows[:1])[0] if self.rows else None


class _Prepared:
    __slots__ = ("shape", "statement")

    def __init__(self, statement: Any) -> None:
        self.statement = statement
        self.shape = _NOTHING

    async def run(self, args: Sequence[Any]) -> Answer:
        result = await self.statement.execute(bound(args))
        description = result.description
        if description is not self.shape.description and description is not None:
            self.shape = Shape(description)
        return Answer(result, self.shape)


class Statements:
    """Prepares statements when they are first run, and keeps those used last."""

    __slots__ = ("_prepared", "_raw")

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._prepared: dict[str, _Prepared] = {}

    async def run(self, text: str, args: Sequence[Any]) -> Answer:
        """Run a statement, with its arguments bound by the server."""
        prepared = self._prepared.pop(text, None)
        if prepared is None:
            try:
                prepared = _Prepared(await self._prepare(text))
            except MySQLError as error:
                if args or number_of(error) != _UNPREPARABLE:
                    raise
                return await self._run_text(text)
        try:
            answer = await prepared.run(args)
        except MySQLError as error:
            if number_of(error) not in _PREPARE_AGAIN:
                self._prepared[text] = prepared
                raise
            # The server refused to run it, so nothing has happened.
            prepared = _Prepared(await self._prepare(text))
            answer = await prepared.run(args)
        self._prepared[text] = prepared
        return answer

    async def _prepare(self, text: str) -> Any:
        while len(self._prepared) >= _KEPT:
            await self._prepared.pop(next(iter(self._prepared))).statement.close()  # sends, and waits for no answer
        return await self._raw.prepare(text)

    async def _run_text(self, text: str) -> Answer:
        """A statement that cannot be prepared, and has no arguments."""
        await self._raw.query(text)
        result = self._raw._result  # noqa: SLF001 - where `query` leaves its answer
        return Answer(result, Shape(result.description) if result.description else _NOTHING)
