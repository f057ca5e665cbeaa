"""What a server says, made fit for a terminal, a log and an alert.

A server's words may come from anyone: from a rogue server before TLS has shown who it is, or from rows that users
wrote. Escape sequences in them would rewrite a terminal, line breaks would forge lines of a log, and values of rows and
parameters would leave the database.

Sources: PostgreSQL appendix A, "Error Message Style Guide" (what a DETAIL holds); MySQL "Server Error Message
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
_CONFLICTS: Final = "conflicts"  # of an exclusion constraint: what follows names the other row's values
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
"""The first that fits counts."""


def escaped(words: str) -> str:
    r"""Return words on one line, with ``\x1b`` and the like in place of what a terminal or a log would obey.

    Control characters, line breaks of every kind, marks that turn the direction of writing, and halves of surrogates
    are escaped. Overlong text is cut.
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
    """Return an error of PostgreSQL without values of rows and parameters.

    Args:
        sqlstate: its code.
        message: its first line.
        detail: where values of rows stand, as in "Key (email)=(ada@example.org) already exists."
        hint: advice.
    """
    if sqlstate[:2] in _DATA:
        key = _KEY.match(detail or "")
        detail = None if key is None else f"Key ({key[1]})=(…) {_end(key[2])}"
    if sqlstate.startswith("22"):  # invalid input syntax for type integer: "4x"
        message = _QUOTED.sub('"…"', argument_words(message) if _PARAMETER.match(message) else message)
    return escaped("; ".join(part for part in (message, detail, hint) if part))


def _end(words: str) -> str:
    return f"{_CONFLICTS} with an existing key" if words.startswith(_CONFLICTS) else words.rstrip(".")


def family_words(message: str) -> str:
    """Return an error of MySQL or MariaDB without values of rows and parameters."""
    for pattern, without in _FAMILY:
        message, found = pattern.subn(without, message)
        if found:
            break
    return escaped(message)


def argument_words(message: str) -> str:
    """Return asyncpg's error about an argument without the argument's value."""
    found = _PARAMETER.match(message)
    if found is None:
        return escaped(message)
    reason = _REASON.search(message)
    return f"{found[1]}: {reason[1] if reason else 'the value does not fit its type'}"
