"""Whether a trigger's code only changes the row that it is called for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.errors import ConfigError
from rdskit.kernel.sql.functions import HARMLESS_FUNCTIONS, word_set
from rdskit.kernel.sql.tokens import BLANK, TokenType, tokenize

if TYPE_CHECKING:
    from rdskit.kernel.sql import Dialect

# Whatever reads or changes tables begins with one of these; FROM and TABLE stand in queries without SELECT.
_VERBS: Final = word_set(
    """alter analyze call cluster comment copy create delete do drop execute fetch grant import insert load lock merge
    open perform prepare query refresh replace revoke select table truncate update upsert values with"""
)
_BEFORE_PARENTHESIS: Final = word_set("and case else elsif elseif if in not or return then when while")


def changes_only_its_row(code: str, dialect: Dialect) -> bool:
    """Return whether a trigger does no more than set columns, compare and raise errors.

    Args:
        code: the body of the trigger or of its function; empty for a built-in one.
        dialect: the server's.
    """
    try:
        tokens = [token for token in tokenize(code, dialect) if token.type not in BLANK]
    except ConfigError:
        return False
    previous = ""
    for token in tokens:
        if token.type is TokenType.EXECUTABLE:
            return False
        word = token.text.lower() if token.type in {TokenType.WORD, TokenType.NAME} else ""
        if word in _VERBS and token.type is TokenType.WORD:
            return False
        called = token.type is TokenType.OPEN and previous and previous not in _BEFORE_PARENTHESIS
        if called and previous not in HARMLESS_FUNCTIONS[dialect]:
            return False
        previous = word
    return True
