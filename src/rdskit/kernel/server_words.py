"""Sanitize server messages for terminals, logs and alerts: escape control characters and drop values.

A message may contain anything: it may come from a rogue server before TLS has verified it, or quote rows that users
wrote. Escape sequences in it would rewrite a terminal, line breaks would forge log lines, and values of rows and
parameters would leave the database.

Sources: PostgreSQL appendix A, "Error Message Style Guide" (contents of a DETAIL); MySQL "Server Error Message
Reference"; MariaDB "Error Codes".
"""

from __future__ import annotations

import re
from typing import Final

_LONGEST: Final = 2_000  # characters; a packet may hold 16 million
_DATA: Final = frozenset({"22", "23"})  # classes of SQLSTATE about values: data exceptions and integrity constraints
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"')
_KEY: Final = re.compile(
    r"Key \(([^()]*)\)=\(.*\) ((?:already exists|is (?:not present|still referenced)|conflicts)[^()]*)"
)
_CONFLICTS: Final = "conflicts"  # an exclusion constraint's detail: the text after it has the other row's values
_PARAMETER: Final = re.compile(r"(?s)(invalid input for query argument \$\d+): .*")
_REASON: Final = re.compile(
    r"\((expected [\w ,.]+|[\w ]*(?:is required|out of \w+ range)[\w ()]*|'\w+' object [\w ]+)\)$"
)
_SAID: Final = r"(?s)\b(values?:?|string:|text:|data:) ['\"].*['\"]"
_FAMILY: Final = (
    (re.compile(r"(?s)\b(entry) '.*'( for key)"), r"\1 '…'\2"),
    (re.compile(rf"{_SAID}( for column | for function )"), r"\1 '…'\2"),
    (re.compile(rf"{_SAID}( at row \d+| at position \d+.*)?$"), r"\1 '…'\2"),
    (re.compile(r"(?s)(out of range in) '.*'"), r"\1 '…'"),
    (re.compile(r"(?s)(no partition for value) .*"), r"\1 …"),
)
"""Pattern and replacement; only the first match applies."""


def escaped(words: str) -> str:
    r"""Return text on one line, with escapes such as ``\x1b`` for characters that a terminal or a log would interpret.

    These are control characters, all line breaks, bidirectional marks and lone surrogates. Overlong text is truncated.
    """
    if len(words) > _LONGEST:
        words = f"{words[:_LONGEST]}…"
    if words.isprintable():
        return words
    return "".join(
        each if each.isprintable() else " " if each == "\n" else each.encode("unicode_escape").decode()
        for each in words
    )


def postgres_words(sqlstate: str, message: str, detail: str | None = None, hint: str | None = None) -> str:
    """Return a PostgreSQL error's text without values of rows and parameters.

    Args:
        sqlstate: its code.
        message: its first line.
        detail: the line that has values of rows, as in "Key (email)=(ada@example.org) already exists."
        hint: the server's advice.
    """
    if sqlstate[:2] in _DATA:
        key = _KEY.match(detail or "")
        detail = None if key is None else f"Key ({key[1]})=(…) {_without_conflicting_row(key[2])}"
    if sqlstate.startswith("22"):  # invalid input syntax for type integer: "4x"
        message = _QUOTED.sub('"…"', argument_words(message) if _PARAMETER.match(message) else message)
    return escaped("; ".join(part for part in (message, detail, hint) if part))


def _without_conflicting_row(words: str) -> str:
    return f"{_CONFLICTS} with an existing key" if words.startswith(_CONFLICTS) else words.rstrip(".")


def family_words(message: str) -> str:
    """Return a MySQL or MariaDB error's text without values of rows and parameters."""
    for pattern, without in _FAMILY:
        message, found = pattern.subn(without, message)
        if found:
            break
    return escaped(message)


def argument_words(message: str) -> str:
    """Return asyncpg's error about an argument, without the argument's value."""
    found = _PARAMETER.match(message)
    if found is None:
        return escaped(message)
    reason = _REASON.search(message)
    return f"{found[1]}: {reason[1] if reason else 'the value does not fit its type'}"
