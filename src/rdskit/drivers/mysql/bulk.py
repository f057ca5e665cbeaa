"""Insert many rows into MySQL and MariaDB by prepared INSERT statements of many rows each."""

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
"""Bytes of one statement's values; larger messages were no faster."""

_MARKER: Final = 8
"""Bytes of one value in the statement's text, more than enough: ``?, `` and its share of the parentheses."""

_NULL: Final = {type(None)}
_WITHOUT_FRACTION: Final = PLAIN | {datetime, time, timedelta}

_DUPLICATE: Final = frozenset({1062, 1586})
_INFO: Final = re.compile(rb"Records: (\d+)\s+Duplicates: (\d+)")


class Inserting:
    """Insert batches of rows; prepare each statement size once, and again when the values' types change.

    The server keeps the types of the first arguments (see the module ``statements``). NULL does not count as a type: it
    fits every column.

    Args:
        raw: asyncmy's connection.
        insertion: the target table, and what to do with rows that exist already.
    """

    def __init__(self, raw: Any, insertion: Insertion) -> None:
        self._raw = raw
        self._insertion = insertion
        self._width = len(insertion.columns)
        self._size = min(_MOST_BYTES, raw.max_allowed_packet // 2)
        self._most_rows = max(1, min(_MOST_ROWS, MOST_MARKERS // self._width, self._size // (_MARKER * self._width)))
        self._prepared: dict[int, _PreparedInsert] = {}
        self._rows_done = 0
        *schema, table = name_parts(insertion.table, Dialect.MYSQL)
        self._columns = Columns(raw, Assignments(schema[-1] if schema else None, table, {}))

    async def insert(self, batch: Batch) -> int:
        """Insert rows and return how many were inserted or updated."""
        return sum([await self._insert(rows) for rows in cut(batch, self._most_rows, self._size)])

    async def close(self) -> None:
        """Close the prepared statements on the server."""
        for entry in self._prepared.values():
            await entry.statement.close()
        self._prepared.clear()

    async def _insert(self, rows: Batch) -> int:
        values = self._raw.arguments.bound(list(itertools.chain.from_iterable(rows)))
        kinds = tuple(map(type, values))
        if not _WITHOUT_FRACTION.issuperset(kinds):
            await self._refuse_fractions(values, kinds)
        self._rows_done += len(rows)
        entry = await self._statement(len(rows), kinds)
        statement = entry.statement
        if FIELD_TYPE.JSON in entry.types:
            values = with_documents(values, set(documents_in(kinds, entry.types)))
        if self._insertion.on_conflict != "ignore":
            await statement.execute(values)
            return len(rows)
        if len(rows) == 1:
            return await _insert_if_new(statement, values)
        return len(rows) - _existing_rows((await statement.execute(values)).message)

    async def _refuse_fractions(self, values: Sequence[Any], kinds: Sequence[type]) -> None:
        """Raise if a value has a fraction and its column holds integers: the server would round it."""
        for place, column in enumerate(self._insertion.columns):
            if _WITHOUT_FRACTION.issuperset(kinds[place :: self._width]):
                continue
            for row, value in enumerate(values[place :: self._width]):
                if has_fraction(value):
                    await self._columns.refuse(column, self._rows_done + row + 1)
                    break

    async def _statement(self, rows: int, kinds: tuple[type, ...]) -> _PreparedInsert:
        entry = self._prepared.get(rows)
        if entry is not None and not entry.fits(kinds):
            await self._prepared.pop(rows).statement.close()
            entry = None
        if entry is None:
            # Every call but the last has the full size. Keep that statement, and drop the odd sizes of earlier
            # batches.
            if rows != self._most_rows:
                await self._drop_partial_sizes()
            statement, types = await prepared(self._raw, mysql_values(self._insertion, rows))
            entry = self._prepared[rows] = _PreparedInsert(statement, kinds, types, self._width)
        return entry

    async def _drop_partial_sizes(self) -> None:
        for rows in [rows for rows in self._prepared if rows != self._most_rows]:
            await self._prepared.pop(rows).statement.close()


class _PreparedInsert:
    """A prepared INSERT and the types of the values that it was run with.

    Args:
        statement: asyncmy's.
        kinds: the types, row by row.
        types: those of the parameters, as far as the server reports them.
        width: the number of columns.
    """

    def __init__(self, statement: Any, kinds: tuple[type, ...], types: tuple[int, ...], width: int) -> None:
        self.statement = statement
        self.types = types
        self._single_use = reads_integers(kinds, types)
        self._kinds = kinds
        self._width = width
        self._columns = self._by_column(kinds)

    def fits(self, kinds: tuple[type, ...]) -> bool:
        """Return whether the statement reads values of these types as a new one would; if so, remember the types."""
        if self._single_use or kinds == self._kinds:
            return not self._single_use
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


def _existing_rows(message: bytes | None) -> int:
    """Return how many rows existed already, from the statement's info text (MySQL C API, ``mysql_info``)."""
    found = _INFO.search(message or b"")
    return int(found[2]) if found else 0
