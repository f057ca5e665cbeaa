"""Keep the prepared statements of one connection, and decide when one must be prepared again.

Every query comes through here, so the path is short. Once the columns of a result are known, asyncmy passes its rows
directly to the statement, without objects in between.

A server keeps more of a prepared statement than its text. Since 8.0.22 MySQL gives each parameter the type of its first
argument, and converts later arguments to that type where it can: after an integer, ``'abc'`` is 0
(``Prepared_statement::check_parameter_types``). So a statement is reused only for arguments of the same Python types. A
text where the server expects an integer also changes the parameter for good (``'1.5'`` makes it a decimal). Such a
statement is prepared for each run. The server also keeps the default database, ``sql_mode``, the character set, and the
types of user variables from the moment when it prepared the statement.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from asyncmy import connection as asyncmy_connection
from asyncmy.constants import COMMAND
from asyncmy.errors import MySQLError
from asyncmy.protocol import FieldDescriptorPacket

from rdskit.drivers.mysql.failures import number_of
from rdskit.drivers.mysql.fitting import INTEGERS, fitted
from rdskit.drivers.mysql.rows import Shape
from rdskit.drivers.mysql.values import PLAIN
from rdskit.errors import StatementError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rdskit.drivers.mysql.codecs import Decoders
    from rdskit.kernel.ports import Row

# A server keeps 16,382 in all (max_prepared_stmt_count): enough for 128 connections.
_KEPT: Final = 128
_LONGEST_KEPT: Final = 64 * 1024  # characters of a text: an IN list of that length is unlikely to recur
_UNPREPARABLE: Final = 1295
_PREPARE_AGAIN: Final = frozenset({1243, 1615})  # unknown statement (a proxy changed sides), changed too often
_NOTHING: Final = Shape(())
_Statement: Any = asyncmy_connection.PreparedStatement  # untyped in its stubs
_COMMENTS: Final = r"(?:\s|/\*.*?\*/|#[^\n]*\n|--\s[^\n]*\n)*"
_CHANGES_SESSION: Final = re.compile(rf"{_COMMENTS}(?:set|use)\b", re.IGNORECASE | re.DOTALL)
# May also match inside a string literal: that costs one more round trip and nothing else.
_USER_VARIABLE: Final = re.compile(r"(?<!@)@(?!@)")
Key = tuple[Any, ...]
"""A text, and the types of the arguments."""
_Values = tuple[Any, ...]


class Prepared:
    """A prepared statement, and the result of its last run.

    Attributes:
        statement: asyncmy's, or its replacement.
        is_plain: arguments of its types are sent unchanged.
        used: it has run again since the eviction last passed it (the clock algorithm's bit).
        matched: how many rows the statement returned or matched.
        last_id: the id generated for the last inserted row; 0 if none was.
        rows: the values that it returned; the reader of a result clears them.
        shape: builds rows from them.
    """

    __slots__ = ("_decoders", "is_plain", "last_id", "matched", "rows", "shape", "statement", "used")

    def __init__(self, statement: Any, decoders: Decoders, *, is_plain: bool) -> None:
        self._decoders = decoders
        self.statement = statement
        self.is_plain = is_plain
        self.used = False
        self.matched = 0
        self.last_id = 0
        self.rows: Sequence[_Values] = ()
        self.shape = _NOTHING

    def _set_cached_rows(self, rows: Sequence[_Values], description: Any) -> None:
        # asyncmy calls this method, by this name, on the object that it received as the cursor.
        if description is not self.shape.description:
            self.shape = Shape(description, self._decoders)
        self.rows = rows
        self.matched = len(rows)
        self.last_id = 0

    def take(self, result: Any) -> None:
        """Store a result that asyncmy could not pass directly: the first one, or one without rows."""
        if result.description is not None:
            self._set_cached_rows(result.rows or (), result.description)
        else:
            self.rows = ()
            self.matched = result.affected_rows
            self.last_id = result.insert_id

    def first(self) -> Row | None:
        """Return the first row, if any, and drop the result."""
        rows, self.rows = self.rows, ()
        return self.shape.row(rows[0]) if rows else None

    def all(self) -> list[Row]:
        """Return all rows, and drop the result."""
        rows, self.rows = self.rows, ()
        return self.shape.rows(rows)

    def result(self) -> Result:
        """Return how many rows the statement returned or matched, and the id that it generated."""
        self.rows = ()
        return Result(self.matched, self.last_id or None)


class _Text:
    """Run the text of a statement that the server cannot prepare."""

    def __init__(self, raw: Any, text: str) -> None:
        self._raw = raw
        self._text = text

    async def _execute_cursor(self, args: Sequence[Any], _: Any) -> bool:
        if args:
            message = (
                f"the server cannot prepare {self._text.strip()[:60]!r}, so it cannot take parameters [{_UNPREPARABLE}]"
            )
            raise DriverError(Failure.REFUSED, StatementError(message, errno=_UNPREPARABLE))
        await self._raw.query(self._text)
        return False

    async def close(self) -> None:
        """Do nothing: the server keeps no state of it."""


class _SingleUse:
    """A statement that is prepared for one run, because the state that the server keeps of it may not fit the next one.

    Args:
        statement: asyncmy's, or its replacement.
        statements: the connection's.
        changes_session: whether it also makes the statements prepared before it out of date.
    """

    def __init__(self, statement: Any, statements: Statements, *, changes_session: bool) -> None:
        self._statement = statement
        self._statements = statements
        self._changes_session = changes_session

    async def _execute_cursor(self, args: Sequence[Any], prepared: Prepared) -> bool:
        try:
            if not await self._statement._execute_cursor(args, prepared):  # noqa: SLF001 - asyncmy's short way
                prepared.take(self._statements.raw._result)  # noqa: SLF001 - a result that was not passed directly
        finally:
            await self._statement.close()  # sends, and waits for no answer
            if self._changes_session:
                await self._statements.forget()
        return True


async def prepared(raw: Any, text: str) -> tuple[Any, tuple[int, ...]]:
    """Prepare a statement on the server and read the types of its parameters.

    asyncmy's own ``prepare`` discards the types.

    Returns:
        asyncmy's statement, and a type for each parameter. MariaDB reports ``NULL`` for each.
    """
    await raw._execute_command(COMMAND.COM_STMT_PREPARE, text.encode())  # noqa: SLF001 - see above
    answer = await raw.read_packet()
    answer.read_uint8()
    number, columns, parameters = answer.read_uint32(), answer.read_uint16(), answer.read_uint16()
    types = [(await raw.read_packet(FieldDescriptorPacket)).type_code for _ in range(parameters)]
    ends_lists = not raw._deprecate_eof  # noqa: SLF001 - same
    if parameters and ends_lists:
        await raw.read_packet()
    for _ in range(columns + bool(columns and ends_lists)):
        await raw.read_packet()
    return _Statement(raw, number, parameters), tuple(types)


def reads_integers(kinds: Iterable[type], types: Iterable[int]) -> bool:
    """Return whether a text is an argument where the server expects an integer."""
    return any(type_ in INTEGERS and issubclass(kind, str) for kind, type_ in zip(kinds, types, strict=False))


class Statements(dict[Key, Prepared]):
    """Cache prepared statements by text and argument types; evicted ones are closed on the server too.

    Attributes:
        raw: asyncmy's connection.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: Any) -> None:
        super().__init__()
        self.raw = raw

    async def prepare(self, key: Key) -> Prepared:
        """Prepare a statement on the server, and keep it if it can be used again.

        Args:
            key: the text, and the types of the arguments as they are sent.
        """
        if len(self) >= _KEPT:
            await self._evict().statement.close()  # sends, and waits for no answer
        text, *kinds = key
        types: tuple[int, ...] = ()
        try:
            statement, types = await prepared(self.raw, text)
        except MySQLError as error:
            if number_of(error) != _UNPREPARABLE:
                raise
            statement = _Text(self.raw, text)
        is_plain = PLAIN.issuperset(kinds)
        statement = fitted(self.raw, statement, text, kinds, types)
        changes_session = _CHANGES_SESSION.match(text) is not None
        if changes_session or len(text) > _LONGEST_KEPT or _USER_VARIABLE.search(text) or reads_integers(kinds, types):
            once = _SingleUse(statement, self, changes_session=changes_session)
            return Prepared(once, self.raw.decoders, is_plain=is_plain)
        kept = self[key] = Prepared(statement, self.raw.decoders, is_plain=is_plain)
        return kept

    async def forget(self) -> None:
        """Close all statements on the server."""
        while self:
            await self.popitem()[1].statement.close()  # sends, and waits for no answer

    def description(self, key: Key) -> Sequence[Sequence[Any]] | None:
        """Return name and type of each result column of a statement's last run; None if it had none."""
        kept = self.get(key)
        meta = getattr(kept.statement, "_meta", None) if kept is not None else None
        return meta[5] if meta else None

    def is_outdated(self, key: Key, error: Exception) -> bool:
        """Return whether the server refused to run a kept statement, and preparing it again may help.

        If so, the statement is dropped. The server refused it before it ran, so running it again is safe.
        """
        if number_of(error) not in _PREPARE_AGAIN:
            return False
        prepared = self.pop(key, None)
        return prepared is not None and prepared.used

    def _evict(self) -> Prepared:
        """Remove and return the oldest statement that was not used since the last pass (the clock algorithm)."""
        while True:
            key = next(iter(self))
            oldest = self.pop(key)
            if not oldest.used:
                return oldest
            oldest.used = False
            self[key] = oldest
