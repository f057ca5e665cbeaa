"""Many rows to MySQL and MariaDB: prepared INSERT statements of many rows each."""

from __future__ import annotations

import itertools
import re
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

from asyncmy.constants import FIELD_TYPE
from asyncmy.errors import MySQLError

from rdskit.drivers.mysql.failures import number_of
from rdskit.drivers.mysql.fitting import Columns, documents_in, has_fraction, with_documents
from rdskit.drivers.mysql.statements import prepared, reads_integers
from rdskit.drivers.mysql.values import PLAIN
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.assignments import Assignments
from rdskit.kernel.sql.insert import MOST_MARKERS, cut, mysql_values, name_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.kernel.ports import Batch
    from rdskit.kernel.sql.insert import Insertion

_MOST_ROWS: Final = 512
_MOST_BYTES: Final = 512 * 1024
"""Larger messages are no faster."""

_MARKER: Final = 8
"""Bytes of one value in the statement's text, more than enough: ``?, `` and its share of the parentheses."""

_NULL: Final = {type(None)}
_WITHOUT_FRACTION: Final = PLAIN | {datetime, time, timedelta}

_DUPLICATE: Final = frozenset({1062, 1586})
_INFO: Final = re.compile(rb"Records: (\d+)\s+Duplicates: (\d+)")


class Inserting:
    """Inserts portions of rows; each size of statement is prepared once for each change of the values' types.

    A server keeps the types of the arguments that it saw first, as ``statements`` says. NULL counts for none of them:
    it is stored as what it is in whatever column.

    Args:
        raw: asyncmy's connection.
        insertion: where to, and what happens to a row that is there.
    """

    def __init__(self, raw: Any, insertion: Insertion) -> None:
        self._raw = raw
        self._insertion = insertion
        self._width = len(insertion.columns)
        self._size = min(_MOST_BYTES, raw.max_allowed_packet // 2)
        self._most = max(1, min(_MOST_ROWS, MOST_MARKERS // self._width, self._size // (_MARKER * self._width)))
        self._prepared: dict[int, _Prepared] = {}
        self._done = 0
        *schema, table = name_parts(insertion.table, Dialect.MYSQL)
        self._columns = Columns(raw, Assignments(schema[-1] if schema else None, table, {}))

    async def insert(self, portion: Batch) -> int:
        """Insert rows and give how many were inserted or updated."""
        return sum([await self._insert(rows) for rows in cut(portion, self._most, self._size)])

    async def close(self) -> None:
        """Have the server forget the statements."""
        for kept in self._prepared.values():
            await kept.statement.close()
        self._prepared.clear()

    async def _insert(self, rows: Batch) -> int:
        values = self._raw.arguments.bound(list(itertools.chain.from_iterable(rows)))
        kinds = tuple(map(type, values))
        if not _WITHOUT_FRACTION.issuperset(kinds):
            await self._refuse_fractions(values, kinds)
        self._done += len(rows)
        kept = await self._statement(len(rows), kinds)
        statement = kept.statement
        if FIELD_TYPE.JSON in kept.types:
            values = with_documents(values, set(documents_in(kinds, kept.types)))
        if self._insertion.on_conflict != "ignore":
            await statement.execute(values)
            return len(rows)
        if len(rows) == 1:
            return await _insert_if_new(statement, values)
        return len(rows) - _kept((await statement.execute(values)).message)

    async def _refuse_fractions(self, values: Sequence[Any], kinds: Sequence[type]) -> None:
        """Raise if a value has a fraction and its column is an integer's: the server would round it."""
        for place, column in enumerate(self._insertion.columns):
            if _WITHOUT_FRACTION.issuperset(kinds[place :: self._width]):
                continue
            for row, value in enumerate(values[place :: self._width]):
                if has_fraction(value):
                    await self._columns.refuse(column, self._done + row + 1)
                    break

    async def _statement(self, rows: int, kinds: tuple[type, ...]) -> _Prepared:
        kept = self._prepared.get(rows)
        if kept is not None and not kept.fits(kinds):
            await self._prepared.pop(rows).statement.close()
            kept = None
        if kept is None:
            if rows != self._most:
                await self._drop_rests()
            statement, types = await prepared(self._raw, mysql_values(self._insertion, rows))
            kept = self._prepared[rows] = _Prepared(statement, kinds, types, self._width)
        return kept

    async def _drop_rests(self) -> None:
        for rows in [rows for rows in self._prepared if rows != self._most]:
            await self._prepared.pop(rows).statement.close()


class _Prepared:
    """A statement and the types of the values that it was run with.

    Args:
        statement: asyncmy's.
        kinds: the types, row by row.
        types: those of the parameters, as far as the server tells.
        width: the number of columns.
    """

    def __init__(self, statement: Any, kinds: tuple[type, ...], types: tuple[int, ...], width: int) -> None:
        self.statement = statement
        self.types = types
        self._once = reads_integers(kinds, types)
        self._kinds = kinds
        self._width = width
        self._columns = self._by_column(kinds)

    def fits(self, kinds: tuple[type, ...]) -> bool:
        """Whether values of these types mean the same to it as to a fresh statement; note them if so."""
        if self._once or kinds == self._kinds:
            return not self._once
        columns = [have | new for have, new in zip(self._columns, self._by_column(kinds), strict=True)]
        if any(len(column) > 1 for column in columns):
            return False
        self._kinds, self._columns = kinds, columns
        return True

    def _by_column(self, kinds: tuple[type, ...]) -> list[set[type]]:
        return [set(kinds[column :: self._width]) - _NULL for column in range(self._width)]


async def _insert_if_new(statement: Any, values: Sequence[Any]) -> int:
    try:
        await statement.execute(values)
    except MySQLError as error:
        if number_of(error) not in _DUPLICATE:
            raise
        return 0
    return 1


def _kept(message: bytes | None) -> int:
    """How many rows were there already, from the server's account of the statement (MySQL C API, ``mysql_info``)."""
    found = _INFO.search(message or b"")
    return int(found[2]) if found else 0
