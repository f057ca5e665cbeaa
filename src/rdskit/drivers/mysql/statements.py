"""Statements that the server has prepared for one connection.

Every query comes through here, so the way is short: asyncmy hands the rows of a result whose columns it knows already
directly to the statement, without the objects in between.

A server keeps more of a prepared statement than its text. Since 8.0.22 MySQL gives each parameter the type of the first
argument, and converts later arguments to it where it thinks that it can: after an integer, ``'abc'`` is 0
(``Prepared_statement::check_parameter_types``). So a statement is reused only for arguments of the same Python types. A
text where the server expects an integer changes the parameter for good as well, after ``'1.5'`` to a decimal: such a
statement is prepared for each run. A server also keeps the default database, ``sql_mode``, the character set, and the
types of user variables of the moment when the statement was prepared.
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
_LONGEST_KEPT: Final = 64 * 1024  # characters of a text: a list of that length does not come twice
_UNPREPARABLE: Final = 1295
_PREPARE_AGAIN: Final = frozenset({1243, 1615})  # unknown statement (a proxy changed sides), changed too often
_NOTHING: Final = Shape(())
_Statement: Any = asyncmy_connection.PreparedStatement  # untyped in its stubs
_COMMENTS: Final = r"(?:\s|/\*.*?\*/|#[^\n]*\n|--\s[^\n]*\n)*"
_CHANGES_SESSION: Final = re.compile(rf"{_COMMENTS}(?:set|use)\b", re.IGNORECASE | re.DOTALL)
# Some of these are letters of a text: that costs one more round trip and nothing else.
_USER_VARIABLE: Final = re.compile(r"(?<!@)@(?!@)")
Key = tuple[Any, ...]
"""A text, and the types of the arguments."""
_Values = tuple[Any, ...]


class Prepared:
    """One statement, and what its last run gave.

    Attributes:
        statement: asyncmy's, or what stands in for it.
        is_plain: arguments of its types are sent as they are.
        used: it was run again since it was last considered for removal.
        matched: how many rows the statement returned or matched.
        last_id: the id generated for the last inserted row; 0 if none was.
        rows: the values that it returned; whoever takes them leaves none behind.
        shape: what makes rows of them.
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
        # asyncmy's name: it gives rows to whatever was passed as the cursor.
        if description is not self.shape.description:
            self.shape = Shape(description, self._decoders)
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
                f"the server cannot prepare {self._text.strip()[:60]!r}, so it cannot take parameters [{_UNPREPARABLE}]"
            )
            raise DriverError(Failure.REFUSED, StatementError(message, errno=_UNPREPARABLE))
        await self._raw.query(self._text)
        return False

    async def close(self) -> None:
        """Nothing is kept on the server."""


class _Once:
    """A statement that is prepared for one run, because what the server keeps of it may not fit the next one.

    Args:
        statement: asyncmy's, or what stands in for it.
        statements: the connection's.
        changes_session: whether what was prepared before it does not fit any more either.
    """

    def __init__(self, statement: Any, statements: Statements, *, changes_session: bool) -> None:
        self._statement = statement
        self._statements = statements
        self._changes_session = changes_session

    async def _execute_cursor(self, args: Sequence[Any], prepared: Prepared) -> bool:
        try:
            if not await self._statement._execute_cursor(args, prepared):  # noqa: SLF001 - asyncmy's short way
                prepared.take(self._statements.raw._result)  # noqa: SLF001 - where it leaves an answer otherwise
        finally:
            await self._statement.close()  # sends, and waits for no answer
            if self._changes_session:
                await self._statements.forget()
        return True


async def prepared(raw: Any, text: str) -> tuple[Any, tuple[int, ...]]:
    """Have the server prepare a statement, and learn which types it gives the parameters.

    asyncmy's own ``prepare`` leaves the types out.

    Returns:
        asyncmy's statement, and a type for each parameter. MariaDB gives none, and says ``NULL``.
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
    """Whether a text is an argument where the server expects an integer."""
    return any(type_ in INTEGERS and issubclass(kind, str) for kind, type_ in zip(kinds, types, strict=False))


class Statements(dict[Key, Prepared]):
    """The statements that were used last, by their texts and the types of their arguments.

    The rest are closed on the server too.

    Attributes:
        raw: asyncmy's connection.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: Any) -> None:
        super().__init__()
        self.raw = raw

    async def prepare(self, key: Key) -> Prepared:
        """Have the server prepare a statement.

        Args:
            key: the text, and the types of the arguments as they are sent.
        """
        if len(self) >= _KEPT:
            await self._removed().statement.close()  # sends, and waits for no answer
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
            once = _Once(statement, self, changes_session=changes_session)
            return Prepared(once, self.raw.decoders, is_plain=is_plain)
        kept = self[key] = Prepared(statement, self.raw.decoders, is_plain=is_plain)
        return kept

    async def forget(self) -> None:
        """Close all of them on the server."""
        while self:
            await self.popitem()[1].statement.close()  # sends, and waits for no answer

    def description(self, key: Key) -> Sequence[Sequence[Any]] | None:
        """Return name and type of each column that a statement gave when it was last run; None if it gave none."""
        kept = self.get(key)
        meta = getattr(kept.statement, "_meta", None) if kept is not None else None
        return meta[5] if meta else None

    def is_outdated(self, key: Key, error: Exception) -> bool:
        """Whether the server refused to run a statement that was prepared before, and preparing it anew may help.

        The statement is forgotten then; nothing has happened.
        """
        if number_of(error) not in _PREPARE_AGAIN:
            return False
        prepared = self.pop(key, None)
        return prepared is not None and prepared.used

    def _removed(self) -> Prepared:
        """The oldest of those that were not used since they were last considered (the clock algorithm)."""
        while True:
            key = next(iter(self))
            oldest = self.pop(key)
            if not oldest.used:
                return oldest
            oldest.used = False
            self[key] = oldest
