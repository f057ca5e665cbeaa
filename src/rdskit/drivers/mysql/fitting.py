"""Refuse or convert arguments that the server would change when it stores them: an integer column rounds a fraction.

MySQL reports the types of a statement's parameters, MariaDB does not. So the column's type is queried only where it
matters: where an argument with a fraction is assigned to a column directly. That costs one query for each statement and
session.
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
"""Python types that a JSON document may consist of, besides an object or a list."""
_UNREPORTED: Final = FIELD_TYPE.NULL  # MariaDB reports this type for every parameter
_INTEGER_NAMES: Final = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "year", "bit"})


def has_fraction(value: Any) -> bool:
    """Return whether a value is a number that an integer column would round."""
    if isinstance(value, float):
        return not value.is_integer()
    return isinstance(value, Decimal) and value != value.to_integral_value()


def may_have_fraction(kind: type, parameter: int) -> bool:
    """Return whether arguments of this Python type must be checked, for a parameter of this server type."""
    return issubclass(kind, float | Decimal) and (parameter in INTEGERS or parameter == _UNREPORTED)


def documents_in(kinds: Iterable[type], types: Iterable[int]) -> list[int]:
    """Return the places of numbers and JSON strings whose parameter is JSON; other parameters take them unchanged."""
    pairs = enumerate(zip(kinds, types, strict=False))
    return [place for place, (kind, type_) in pairs if type_ == FIELD_TYPE.JSON and issubclass(kind, SCALARS)]


def with_documents(args: Sequence[Any], places: Collection[int]) -> list[Any]:
    """Return the arguments with those at some places encoded as JSON."""
    return [json.dumps(value) if place in places else value for place, value in enumerate(args)]


class Columns:
    """Cache which columns of a table accept fractions, as far as they were queried.

    Args:
        raw: asyncmy's connection.
        assigned: the table, and the columns that parameters are assigned to.
    """

    def __init__(self, raw: Any, assigned: Assignments) -> None:
        self._raw = raw
        self._assigned = assigned
        self._take_fractions: set[str] = set()

    async def refuse(self, column: str, row: int | None = None) -> None:
        """Raise if a column would round a fraction; return if it accepts one.

        Args:
            column: its name.
            row: the number of the row, for the message; None for a single statement.

        Raises:
            DriverError: the column holds integers, so the server would round the value.
        """
        if column in self._take_fractions:
            return
        if await self._kind_of(column) not in _INTEGER_NAMES:
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
        """Query the type of a column; None if it is unknown.

        The names are sent as hexadecimal literals, which need no escaping whatever characters they have.
        """
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
    """Wrap a prepared statement whose arguments must be checked or converted before it runs.

    Args:
        statement: asyncmy's.
        numbers: by argument place, the column that the number is assigned to.
        columns: the types of the table's columns.
        documents: the places of arguments that are sent as JSON.
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
        """Close the wrapped statement."""
        await self._statement.close()


def fitted(raw: Any, statement: Any, text: str, kinds: Sequence[type], types: Iterable[int]) -> Any:
    """Return a statement, wrapped in a `Fitting` where its arguments must be checked.

    Args:
        raw: asyncmy's connection.
        statement: asyncmy's.
        text: its text.
        kinds: the types of its arguments.
        types: those of its parameters, as far as the server reports them.
    """
    known_types = tuple(types)
    documents = documents_in(kinds, known_types)
    suspects = [
        n for n, (kind, type_) in enumerate(zip(kinds, known_types, strict=False)) if may_have_fraction(kind, type_)
    ]
    assigned = assignments_of(text) if suspects else None
    numbers = {n: assigned.columns[n] for n in suspects if n in assigned.columns} if assigned else {}
    if not (numbers or documents):
        return statement
    return Fitting(statement, numbers, Columns(raw, assigned) if assigned else None, documents)
