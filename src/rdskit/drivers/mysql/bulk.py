"""Many rows to MySQL and MariaDB: prepared INSERT statements of many rows each."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Final

from asyncmy.errors import MySQLError

from rdskit.drivers.mysql.failures import number_of
from rdskit.drivers.mysql.values import bound
from rdskit.kernel.sql.insert import MOST_MARKERS, cut, mysql_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.kernel.ports import Portion
    from rdskit.kernel.sql.insert import Insertion

_MOST_ROWS: Final = 512
_MOST_BYTES: Final = 512 * 1024
"""Half of the smallest ``max_allowed_packet`` that anybody sets; a server drops whoever sends more than that."""

_DUPLICATE: Final = frozenset({1062, 1586})
_INFO: Final = re.compile(rb"Records: (\d+)\s+Duplicates: (\d+)")


class Inserting:
    """Inserts portions of rows; each size of statement is prepared once.

    Args:
        raw: asyncmy's connection.
        insertion: where to, and what happens to a row that is there.
    """

    def __init__(self, raw: Any, insertion: Insertion) -> None:
        self._raw = raw
        self._insertion = insertion
        self._most = max(1, min(_MOST_ROWS, MOST_MARKERS // len(insertion.columns)))
        self._prepared: dict[int, Any] = {}

    async def insert(self, portion: Portion) -> int:
        """Insert rows and give how many were inserted or updated."""
        return sum([await self._insert(rows) for rows in cut(portion, self._most, _MOST_BYTES)])

    async def close(self) -> None:
        """Have the server forget the statements."""
        for statement in self._prepared.values():
            await statement.close()
        self._prepared.clear()

    async def _insert(self, rows: Portion) -> int:
        statement, values = await self._statement(len(rows)), _flat(rows)
        if self._insertion.on_conflict != "ignore":
            await statement.execute(values)
            return len(rows)
        if len(rows) == 1:
            return await _insert_if_new(statement, values)
        return len(rows) - _kept((await statement.execute(values)).message)

    async def _statement(self, rows: int) -> Any:
        statement = self._prepared.get(rows)
        if statement is None:
            if rows != self._most:
                await self._drop_rests()
            statement = self._prepared[rows] = await self._raw.prepare(mysql_values(self._insertion, rows))
        return statement

    async def _drop_rests(self) -> None:
        for rows in [rows for rows in self._prepared if rows != self._most]:
            await self._prepared.pop(rows).close()


async def _insert_if_new(statement: Any, values: Sequence[Any]) -> int:
    try:
        await statement.execute(values)
    except MySQLError as error:
        if number_of(error) not in _DUPLICATE:
            raise
        return 0
    return 1


def _flat(rows: Portion) -> Sequence[Any]:
    return bound(list(itertools.chain.from_iterable(rows)))


def _kept(message: bytes | None) -> int:
    """How many rows were there already, from the server's account of the statement (MySQL C API, ``mysql_info``)."""
    found = _INFO.search(message or b"")
    return int(found[2]) if found else 0
