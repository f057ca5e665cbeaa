"""Rewrite ``CREATE USER`` and ``ALTER USER`` with ``AWSAuthenticationPlugin``, which no server has.

An IAM user gets the internal password of the local RDS, whose hash is the same in each server. The backend stores and
replicates the hash like any other, and the lookup of IAM users searches for it. ``SHOW CREATE USER`` shows the hash
where RDS shows the plugin.
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
_NO_ATTRIBUTES: Final = b"\x00\x01"  # no parameters, in one set (MySQL Source Code Documentation, "COM_QUERY")

#: Longer statements are not inspected. The limit bounds the memory that a client can make the endpoint hold.
_LONGEST: Final = 256 * 1024
#: Statements up to this length are always inspected. A longer one is inspected only if it begins with CREATE or ALTER.
_SHORT: Final = 4 * 1024
_BEGINNING: Final = 1024  # bytes of a longer statement that decide
_USER_STATEMENT: Final = re.compile(
    rb"(?:\s|/\*(?!M?!).*?\*/|(?:#|--\s)[^\n]*\n|/\*M?!\d*)*+(?:create|alter)\b", re.IGNORECASE | re.DOTALL
)


class UserStatements:
    """The rewriting of statements that create IAM users.

    Args:
        password: the stored password that the users get.
        mariadb: whether ``VIA`` and ``USING`` are keywords, besides ``WITH`` and ``AS``.
    """

    def __init__(self, password: StoredPassword, *, mariadb: bool) -> None:
        self._verbs = (b"with", b"via") if mariadb else (b"with",)
        self._prepositions = (b"as", b"using") if mariadb else (b"as",)
        self._replacement = f"with {password.plugin} as '{password.hash}'".encode()

    def rewrite(self, sql: bytes) -> bytes:
        """Return the statement for a server without the plugin; the same if it creates no IAM user.

        Args:
            sql: one or more statements, in a character set whose ASCII is ASCII.
        """
        # Nearly every statement ends here, without being split into tokens.
        if PLUGIN not in sql.lower():
            return sql
        pieces, done = [], 0
        for start, end in self._clauses(sql):
            pieces += [sql[done:start], self._replacement]
            done = end
        return b"".join([*pieces, sql[done:]])

    def _clauses(self, sql: bytes) -> Iterator[tuple[int, int]]:
        """Yield the start and end of each choice of the plugin, from ``WITH`` to ``'RDS'``."""
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
    """Finds the statements in a client's bytes and rewrites them.

    Most packets are forwarded without a copy. A packet is held back only while it may still turn out to be a statement
    to rewrite.

    Args:
        rewrite: returns a statement's replacement.
        attributes: whether queries have attributes before their text. A query with attributes is not rewritten.
        marks: words in lower case; a statement without any of them is not rewritten.
    """

    def __init__(
        self, rewrite: Callable[[bytes], bytes], *, attributes: bool, marks: tuple[bytes, ...] = (PLUGIN,)
    ) -> None:
        self._rewrite = rewrite
        self._marks = marks
        self._attributes = attributes
        self._passing = 0  # remaining bytes of a packet that is not inspected
        self._held = bytearray()  # the beginning of a packet
        self._awaited = 0  # bytes that self._held must have before the packet can be inspected

    def __call__(self, data: memoryview) -> memoryview:
        """Return the bytes to forward, from the client's next bytes and those that were held."""
        if self._held:
            self._held += data
            if len(self._held) < self._awaited:
                return memoryview(b"")
            data, self._held = memoryview(self._held), bytearray()
        elif not self._passing and self._has_no_mark(data):
            return data
        # A read may contain several packets, and end inside one. pieces has the output up to done, at is the next
        # packet.
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
        """Return the replacement of the packet that begins here; empty to forward or hold it."""
        awaited = self._needed(data)
        if awaited > len(data):
            self._held, self._awaited = bytearray(data), awaited
            return b""
        self._passing = HEADER + _length(data)
        return self._changed(bytes(data[:awaited])) if awaited > HEADER else b""

    def _needed(self, data: memoryview) -> int:
        """Return how many bytes of a packet must arrive before any is forwarded; ``HEADER`` if none must."""
        if len(data) < HEADER or not _length(data):
            return HEADER
        if len(data) == HEADER:
            return HEADER + 1
        length = _length(data)
        # A command begins with packet number 0. Later numbers continue a long command or an answer of the client, such
        # as the data of LOAD DATA LOCAL, which must not be read as statements.
        if data[HEADER] not in _TEXT_COMMANDS or data[HEADER - 1] or length > _LONGEST:
            return HEADER
        if length > _SHORT:
            if len(data) < _BEGINNING:
                return _BEGINNING
            if not _USER_STATEMENT.match(data[self._text_at(data) : _BEGINNING]):
                return HEADER
        return HEADER + length

    def _changed(self, packet: bytes) -> bytes:
        # A statement with attributes has a longer head. It is relayed unchanged, and the server refuses the plugin.
        at = self._text_at(packet)
        if at > HEADER + 1 and packet[HEADER + 1 : at] != _NO_ATTRIBUTES:
            return b""
        text = self._rewrite(packet[at:])
        # A payload of 0xFFFFFF bytes would announce a further packet.
        if text == packet[at:] or len(text) + at - HEADER >= LONGEST_PAYLOAD:
            return b""
        return (len(text) + at - HEADER).to_bytes(3, "little") + packet[HEADER - 1 : at] + text

    def _has_no_mark(self, data: memoryview) -> bool:
        """Return whether the data is one short packet without any mark, which is the usual case."""
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
