"""``AWSAuthenticationPlugin`` in ``CREATE USER`` and ``ALTER USER``: no server has it, so the statement is rewritten.

Whoever is to log in with a token gets the internal password of the local RDS, whose hash is the same in each server:
the backend keeps it, replicates it and has it in its snapshots, and by it an IAM user is known. ``SHOW CREATE USER``
shows the hash where RDS shows the plugin.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rdskit.local.endpoints.mysql import HEADER, LONGEST_PAYLOAD
from rdskit.local.endpoints.mysql_tokens import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rdskit.local.endpoints.mysql_auth import StoredPassword
    from rdskit.local.endpoints.mysql_tokens import Token

PLUGIN: Final = b"awsauthenticationplugin"
_COM_QUERY: Final = 0x03
_TEXT_COMMANDS: Final = (_COM_QUERY, 0x16)  # the other is COM_STMT_PREPARE
_NO_ATTRIBUTES: Final = b"\x00\x01"

#: A longer one makes no user: what a client that has not logged in yet can have held back is no more than this.
_LONGEST: Final = 256 * 1024
#: Up to here a statement is looked at whatever it begins with; a longer one must begin as those that are rewritten.
_SHORT: Final = 4 * 1024
_BEGINNING: Final = 1024
_USER_STATEMENT: Final = re.compile(
    rb"(?:\s|/\*(?!M?!).*?\*/|(?:#|--\s)[^\n]*\n|/\*M?!\d*)*+(?:create|alter)\b", re.IGNORECASE | re.DOTALL
)


class UserStatements:
    """What is done to statements that make IAM users.

    Args:
        password: that they get.
        mariadb: whether ``VIA`` and ``USING`` are understood, as well as ``WITH`` and ``AS``.
    """

    def __init__(self, password: StoredPassword, *, mariadb: bool) -> None:
        self._verbs = (b"with", b"via") if mariadb else (b"with",)
        self._prepositions = (b"as", b"using") if mariadb else (b"as",)
        self._replacement = f"with {password.plugin} as '{password.hash}'".encode()

    def rewrite(self, sql: bytes) -> bytes:
        """The statement for a server without the plugin; the same if it makes no IAM user.

        Args:
            sql: one or more statements, in a character set whose ASCII is ASCII.
        """
        if PLUGIN not in sql.lower():
            return sql
        pieces, done = [], 0
        for start, end in self._clauses(sql):
            pieces += [sql[done:start], self._replacement]
            done = end
        return b"".join([*pieces, sql[done:]])

    def _clauses(self, sql: bytes) -> Iterator[tuple[int, int]]:
        """Where the plugin is chosen: from ``WITH`` to ``'RDS'``."""
        for statement in statements(sql):
            if _is_about_users(statement):
                for five in zip(*(statement[offset:] for offset in range(5)), strict=False):
                    if self._is_choice(sql, five):
                        yield five[1].start, five[4].end

    def _is_choice(self, sql: bytes, tokens: tuple[Token, ...]) -> bool:
        identified, verb, plugin, preposition, rds = tokens
        return (
            identified.text == b"identified"
            and verb.text in self._verbs
            and plugin.text.strip(b"'\"`") == PLUGIN
            and preposition.text in self._prepositions
            and sql[rds.start : rds.end] in (b"'RDS'", b'"RDS"')
        )


class StatementInspector:
    """Finds the statements in what a client sends, and has them rewritten.

    Args:
        rewrite: a statement into another one.
        attributes: whether queries come with attributes before their text; a query that has some is left alone.
        marks: a statement without any of these words, in lower case, is none to be rewritten.
    """

    def __init__(
        self, rewrite: Callable[[bytes], bytes], *, attributes: bool, marks: tuple[bytes, ...] = (PLUGIN,)
    ) -> None:
        self._rewrite = rewrite
        self._marks = marks
        self._attributes = attributes
        self._passing = 0  # bytes of the present packet that go on unseen
        self._held = bytearray()  # the beginning of a packet, until so many bytes of it are there:
        self._awaited = 0

    def __call__(self, data: memoryview) -> memoryview:
        """What is to be sent on of the client's next bytes, and of those held back before."""
        if self._held:
            self._held += data
            if len(self._held) < self._awaited:
                return memoryview(b"")
            data, self._held = memoryview(self._held), bytearray()
        elif not self._passing and self._is_one_of_many(data):
            return data
        pieces: list[memoryview | bytes] = []
        done = at = 0
        while at < len(data):
            if not self._passing:
                changed = self._inspect(data[at:])
                if self._held:
                    break
                if changed:
                    pieces += [data[done:at], changed]
                    done = at + self._passing
            step = min(self._passing, len(data) - at)
            self._passing -= step
            at += step
        return memoryview(b"".join([*pieces, data[done:at]])) if pieces or at < len(data) else data

    def _inspect(self, data: memoryview) -> bytes:
        """Look at the packet that begins here; another one in its place, if there is to be."""
        awaited = self._needed(data)
        if awaited > len(data):
            self._held, self._awaited = bytearray(data), awaited
            return b""
        self._passing = HEADER + _length(data)
        return self._changed(bytes(data[:awaited])) if awaited > HEADER else b""

    def _needed(self, data: memoryview) -> int:
        """How many bytes of a packet must be there before any is sent on; no more than the header if all may be."""
        if len(data) < HEADER or not _length(data):
            return HEADER
        if len(data) == HEADER:
            return HEADER + 1
        length = _length(data)
        # The first packet of a command has number 0; of one that fills several packets, none makes a user.
        if data[HEADER] not in _TEXT_COMMANDS or data[HEADER - 1] or length > _LONGEST:
            return HEADER
        if length > _SHORT:
            if len(data) < _BEGINNING:
                return _BEGINNING
            if not _USER_STATEMENT.match(data[self._text_at(data) : _BEGINNING]):
                return HEADER
        return HEADER + length

    def _changed(self, packet: bytes) -> bytes:
        at = self._text_at(packet)
        if at > HEADER + 1 and packet[HEADER + 1 : at] != _NO_ATTRIBUTES:
            return b""
        text = self._rewrite(packet[at:])
        if text == packet[at:] or len(text) + at - HEADER >= LONGEST_PAYLOAD:
            return b""
        return (len(text) + at - HEADER).to_bytes(3, "little") + packet[HEADER - 1 : at] + text

    def _is_one_of_many(self, data: memoryview) -> bool:
        """Whether this is one whole packet without any mark, as nearly always."""
        if not (HEADER < len(data) <= _SHORT and _length(data) == len(data) - HEADER):
            return False
        text = bytes(data).lower()
        return not any(mark in text for mark in self._marks)

    def _text_at(self, packet: memoryview | bytes) -> int:
        attributes = self._attributes and packet[HEADER] == _COM_QUERY
        return HEADER + 1 + (len(_NO_ATTRIBUTES) if attributes else 0)


def _length(data: memoryview) -> int:
    return data[0] | data[1] << 8 | data[2] << 16


def _is_about_users(statement: list[Token]) -> bool:
    words = [token.text for token in statement[:4]]
    return words[:2] in ([b"create", b"user"], [b"alter", b"user"]) or words == [b"create", b"or", b"replace", b"user"]
