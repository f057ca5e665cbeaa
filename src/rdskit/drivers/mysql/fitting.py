"""Arguments that the server would change where it puts them into a column: a fraction, which an integer column rounds.

MySQL tells the types of a statement's parameters, and MariaDB does not. So what a column is asked for where it counts:
an argument with a fraction is to become the value of a column as it is. That costs one query a statement and session.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from asyncmy.constants import FIELD_TYPE
from asyncmy.errors import MySQLError

from rdskit.errors import StatementError
from rdskit.kernel.codecs import JsonString
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.sql.assignments import Assignments, assignments_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

INTEGERS: Final = frozenset(
    {
        *(FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG),
        *(FIELD_TYPE.BIT, FIELD_TYPE.YEAR),
    }
)
SCALARS: Final = (JsonString, int, float)
"""What JSON may have in place of an object or a list."""
_UNTOLD: Final = FIELD_TYPE.NULL  # what MariaDB says of every parameter
_WHOLE: Final = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "year", "bit"})


def has_fraction(value: Any) -> bool:
    """Return whether a value is a number that an integer column would round."""
    if isinstance(value, float):
        return not value.is_integer()
    return isinstance(value, Decimal) and value != value.to_integral_value()


def may_have_fraction(kind: type, parameter: int) -> bool:
    """Return whether arguments of a type are to be looked at, for a parameter of a type that the server tells."""
    return issubclass(kind, float | Decimal) and (parameter in INTEGERS or parameter == _UNTOLD)


def documents_in(kinds: Iterable[type], types: Iterable[int]) -> list[int]:
    """Return the places of numbers and JSON strings for parameters that are JSON; elsewhere they go as they are."""
    pairs = enumerate(zip(kinds, types, strict=False))
    return [place for place, (kind, type_) in pairs if type_ == FIELD_TYPE.JSON and issubclass(kind, SCALARS)]


def with_documents(args: Sequence[Any], places: Collection[int]) -> list[Any]:
    """Return arguments with those at some places written as JSON."""
    return [json.dumps(value) if place in places else value for place, value in enumerate(args)]


class Columns:
    """What the columns of a table are, as far as that was asked.

    Args:
        raw: asyncmy's connection.
        assigned: the table, and the columns that parameters are assigned to.
    """

    def __init__(self, raw: Any, assigned: Assignments) -> None:
        self._raw = raw
        self._assigned = assigned
        self._take_fractions: set[str] = set()

    async def refuse(self, column: str, row: int | None = None) -> None:
        """Return if a column takes a fraction.

        Args:
            column: its name.
            row: the number of the row, for the message; None for a single statement.

        Raises:
            DriverError: it would round it.
        """
        if column in self._take_fractions:
            return
        if await self._kind_of(column) not in _WHOLE:
            self._take_fractions.add(column)
            return
        which = (
            "an argument" if row is None else f"row {row} for table {self._assigned.table!r} cannot be sent: a value"
        )
        message = (
            f"{which} for the integer column {column!r} has a fraction, which the server would round: round it first"
        )
        raise DriverError(Failure.REFUSED, StatementError(message))

    async def _kind_of(self, column: str) -> str | None:
        """Ask for the type of a column; None if it is unknown."""
        schema, table, name = (
            "database()" if text is None else f"convert(x'{text.encode().hex()}' using utf8mb4)"
            for text in (self._assigned.schema, self._assigned.table, column)
        )
        try:
            await self._raw.query(
                "select data_type from information_schema.columns "  # noqa: S608 - hexadecimal literals
                f"where table_schema = {schema} and table_name = {table} and column_name = {name}"
            )
        except MySQLError:
            return None
        rows = self._raw._result.rows  # noqa: SLF001 - where `query` leaves it
        return str(rows[0][0]).lower() if rows else None


class Fitting:
    """Stands in for a statement whose arguments are looked at before it runs.

    Args:
        statement: asyncmy's.
        numbers: the columns that numbers are assigned to, by place.
        columns: what the columns are.
        documents: the places of what is to be written as JSON.
    """

    def __init__(
        self, statement: Any, numbers: dict[int, str], columns: Columns | None, documents: Sequence[int]
    ) -> None:
        self._statement = statement
        self._numbers = numbers
        self._columns = columns
        self._documents = documents

    @property
    def _meta(self) -> Any:
        return self._statement._meta  # noqa: SLF001 - asyncmy's name for what it knows of the columns

    async def _execute_cursor(self, args: Sequence[Any], prepared: Any) -> bool:
        for place, column in self._numbers.items():
            if has_fraction(args[place]) and self._columns is not None:
                await self._columns.refuse(column)
        if self._documents:
            args = with_documents(args, self._documents)
        return bool(await self._statement._execute_cursor(args, prepared))  # noqa: SLF001 - asyncmy's short way

    async def close(self) -> None:
        """Close the statement."""
        await self._statement.close()


def fitted(raw: Any, statement: Any, text: str, kinds: Sequence[type], types: Iterable[int]) -> Any:
    """Return a statement, or what stands in for it where its arguments have to be looked at.

    Args:
        raw: asyncmy's connection.
        statement: asyncmy's.
        text: its text.
        kinds: the types of its arguments.
        types: those of its parameters, as far as the server tells them.
    """
    told = tuple(types)
    documents = documents_in(kinds, told)
    suspects = [n for n, (kind, type_) in enumerate(zip(kinds, told, strict=False)) if may_have_fraction(kind, type_)]
    assigned = assignments_of(text) if suspects else None
    numbers = {n: assigned.columns[n] for n in suspects if n in assigned.columns} if assigned else {}
    if not (numbers or documents):
        return statement
    return Fitting(statement, numbers, Columns(raw, assigned) if assigned else None, documents)
