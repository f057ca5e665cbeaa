"""Fetch rows in batches from a server-side cursor of the prepared statement protocol.

The server keeps the result in a temporary table of its own. Sources: MySQL "COM_STMT_EXECUTE", "COM_STMT_FETCH";
MariaDB "COM_STMT_FETCH".
"""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING, Any, Final

from asyncmy.constants import SERVER_STATUS
from asyncmy.errors import MySQLError

from rdskit.drivers.mysql.failures import leaves_answer_unread, unreadable
from rdskit.drivers.mysql.rows import Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from rdskit.kernel.ports import Row

_COM_STMT_FETCH: Final = 0x1C
_READ_ONLY_CURSOR: Final = b"\x01\x01\x00\x00\x00"  # CURSOR_TYPE_READ_ONLY, and one iteration


class ServerCursor:
    """A prepared statement that is used once, with an open cursor."""

    def __init__(
        self, raw: Any, statement: Any, result: Any, mapping_errors: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._raw = raw
        self._statement = statement
        self._result = result
        self._mapping_errors = mapping_errors
        self._shape = Shape(result.description or (), raw.decoders)
        self._is_open = bool(result.server_status & SERVER_STATUS.SERVER_STATUS_CURSOR_EXISTS)
        # A server that opens no cursor for a statement sends all of its rows in the response to EXECUTE.
        self._rest: Sequence[tuple[Any, ...]] = result.rows or ()

    async def fetch(self, count: int, timeout: float | None) -> list[Row]:  # noqa: ARG002 - the caller's deadline cancels
        """Return the next rows, at most ``count``."""
        if self._is_open:
            with self._mapping_errors():
                return self._shape.rows(await self._fetch(count))
        rows, self._rest = self._rest[:count], self._rest[count:]
        return self._shape.rows(rows)

    async def close(self, timeout: float | None) -> None:  # noqa: ARG002 - sends, and waits for no answer
        """Close the statement and its cursor."""
        with self._mapping_errors():
            await self._statement.close()

    async def _fetch(self, count: int) -> tuple[tuple[Any, ...], ...]:
        raw, result = self._raw, self._result
        number = self._statement._statement_id  # noqa: SLF001 - asyncmy knows no cursors
        await raw._execute_command(_COM_STMT_FETCH, struct.pack("<II", number, count))  # noqa: SLF001 - same
        result.connection = raw
        try:
            await result._read_binary_rowdata_packet()  # noqa: SLF001 - same
        except (ValueError, ArithmeticError) as error:
            raise unreadable(error, result.description) from error
        rows: tuple[tuple[Any, ...], ...] = result.rows
        self._is_open = len(rows) == count  # the server closes the cursor with the last row
        return rows


async def open_cursor(
    raw: Any, text: str, args: Sequence[Any], mapping_errors: Callable[[], AbstractContextManager[None]]
) -> ServerCursor:
    """Prepare a query and open a cursor for it; after a failure the server keeps nothing of it."""
    values = raw.arguments.bound(args)
    statement = await raw.prepare(text)
    number = struct.pack("<I", statement._statement_id)  # noqa: SLF001 - asyncmy knows no cursors
    statement._execute_header = number + _READ_ONLY_CURSOR  # noqa: SLF001 - same
    try:
        result = await statement.execute(values)
    except Exception as error:
        if not leaves_answer_unread(error):
            with contextlib.suppress(MySQLError, OSError):  # the connection's end, if any, is in the first error
                await statement.close()
        raise
    return ServerCursor(raw, statement, result, mapping_errors)
