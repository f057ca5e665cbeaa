"""Rewrite statements that ask Aurora MySQL about its cluster, for a plain MySQL server.

MySQL has no ``information_schema.replica_host_status``, ``@@aurora_server_id`` or ``@@aurora_version``, and its readers
are not read-only by ``@@innodb_read_only``. A server of the local RDS has the same facts elsewhere. So a statement that
names one of them is rewritten, and the rest of the statement stays as it is:

====================================================  ==================================================
in the client's statement                             in the rewritten statement
====================================================  ==================================================
``information_schema.replica_host_status``            ``rds_cluster.replica_host_status``, a view
``@@aurora_server_id``, also with ``global.``         ``@@global.report_host``
``@@aurora_version``, ``aurora_version()``            ``@@global.version``
``@@innodb_read_only``                                ``@@global.super_read_only``
``SHOW VARIABLES LIKE`` one of the three variables    a ``SELECT`` of the name and the value
====================================================  ==================================================

A variable that is a column of a result keeps its column name. The server evaluates the replacements when the statement
runs, so a prepared statement returns current values after a failover.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.local.endpoints.mysql_tokens import statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rdskit.local.endpoints.mysql_tokens import Token

    #: Start and end of a text, and its replacement.
    Change = tuple[int, int, bytes]

_TABLE: Final = b"replica_host_status"
_VIEW: Final = b"rds_cluster.replica_host_status"
_VARIABLES: Final[Mapping[bytes, bytes]] = {
    b"aurora_server_id": b"@@global.report_host",
    b"aurora_version": b"@@global.version",
    b"innodb_read_only": b"@@global.super_read_only",
}
# SHOW VARIABLES prints ON and OFF, a SELECT of the variable prints 1 and 0.
_SHOWN: Final[Mapping[bytes, bytes]] = {
    **_VARIABLES,
    b"innodb_read_only": b"if(@@global.super_read_only, 'ON', 'OFF')",
}
_SCOPES: Final = (b"global", b"session", b"local")
_END_OF_COLUMNS: Final = (
    *(b"from", b"where", b"group", b"having", b"window", b"order", b"limit", b"union", b"except", b"intersect"),
    *(b"into", b"for"),
)

#: A statement without any of these words is not rewritten.
MARKS: Final = (_TABLE, *_VARIABLES)


def rewrite(sql: bytes) -> bytes:
    """Return the statement for a plain server; the same if it names nothing of Aurora.

    Args:
        sql: one or more statements, in a character set whose ASCII is ASCII.
    """
    text = sql.lower()
    if not any(mark in text for mark in MARKS):
        return sql
    pieces, done = [], 0
    for statement in statements(sql):
        for start, end, replacement in _changes(sql, statement):
            pieces += [sql[done:start], replacement]
            done = end
    return b"".join([*pieces, sql[done:]])


def _changes(sql: bytes, statement: list[Token]) -> Iterator[Change]:
    shown = _shown(statement)
    if shown is not None:
        yield shown
        return
    columns = _Columns()
    at = 0
    while at < len(statement):
        change, length = _change(sql, statement, at, columns)
        if change is not None:
            yield change
        for token in statement[at : at + length]:
            columns.read(token)
        at += length


def _change(sql: bytes, statement: list[Token], at: int, columns: _Columns) -> tuple[Change | None, int]:
    """Return the change of the tokens that begin here, and the number of these tokens."""
    words = _words(statement[at : at + 5])
    start = statement[at].start
    if words[:3] == [b"information_schema", b".", _TABLE]:
        return (start, statement[at + 2].end, _VIEW), 3
    if words[:3] == [b"aurora_version", b"(", b")"] and not _follows_name(statement, at):
        return (start, statement[at + 2].end, _named(sql, statement, at, 3, b"@@global.version", columns)), 3
    length = _length_of_variable(words)
    if length:
        value = _VARIABLES[words[length - 1]]
        return (start, statement[at + length - 1].end, _named(sql, statement, at, length, value, columns)), length
    return None, 1


def _length_of_variable(words: list[bytes]) -> int:
    """Return the number of tokens of an Aurora variable here; 0 if there is none."""
    # The tokenizer has no token for @@: a variable is "@", "@", an optional scope with a dot, and the name.
    if words[:2] != [b"@", b"@"]:
        return 0
    if len(words) == 5 and words[2] in _SCOPES and words[3] == b"." and words[4] in _VARIABLES:  # noqa: PLR2004
        return 5
    return 3 if len(words) > 2 and words[2] in _VARIABLES else 0  # noqa: PLR2004 - both signs and the name


def _named(sql: bytes, statement: list[Token], at: int, length: int, value: bytes, columns: _Columns) -> bytes:
    """Return the replacement value, with an alias if it is a whole column without one."""
    # Without the alias the result's column would be named after the replacement. Clients look columns up by name.
    following = statement[at + length].text if at + length < len(statement) else b","
    if columns.begins and (following == b"," or following in _END_OF_COLUMNS):
        written = sql[statement[at].start : statement[at + length - 1].end]
        return value + b" as `" + written.replace(b"`", b"") + b"`"
    return value


def _follows_name(statement: list[Token], at: int) -> bool:
    return at > 0 and statement[at - 1].text in (b".", b"@")


def _words(tokens: list[Token]) -> list[bytes]:
    """Return the texts of tokens, names without their quotes."""
    return [each.text.strip(b"`") if each.kind == "quoted" else each.text for each in tokens]


def _shown(statement: list[Token]) -> Change | None:
    """Return ``SHOW [GLOBAL | SESSION] VARIABLES LIKE 'name'`` of an Aurora variable as a query."""
    words = [each.text for each in statement if each.text not in _SCOPES]
    if len(words) != 4 or words[:3] != [b"show", b"variables", b"like"]:  # noqa: PLR2004 - and the pattern
        return None
    name = words[3][1:-1].replace(b"\\_", b"_")
    if name not in _SHOWN or statement[-1].kind != "quoted":
        return None
    query = b"select '" + name + b"' as Variable_name, " + _SHOWN[name] + b" as Value"
    return statement[0].start, statement[-1].end, query


class _Columns:
    """Follows the column list of a statement's outermost query.

    Attributes:
        begins: whether a column begins with the next token.
    """

    def __init__(self) -> None:
        self.begins = False
        self._depth = 0
        self._inside = False

    def read(self, token: Token) -> None:
        """Advance by one token."""
        self._depth += (token.text == b"(") - (token.text == b")")
        outermost = self._depth == 0 and token.kind in ("word", "other")
        if outermost and token.text == b"select":
            self._inside = True
        elif outermost and token.text in _END_OF_COLUMNS:
            self._inside = False
        self.begins = outermost and self._inside and token.text in (b"select", b",")
