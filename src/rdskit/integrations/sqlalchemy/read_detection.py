"""Detect from a statement's text whether it only reads."""

from __future__ import annotations

from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect, Kind
from rdskit.kernel.sql.effects import effect_of
from rdskit.kernel.sql.tokens import BLANK, tokenize


def surely_reads_text(text: str, backend: str) -> bool:
    """Return whether a text is one statement that changes nothing and locks nothing.

    Args:
        text: the statement, with the placeholders of any driver or of SQLAlchemy.
        backend: SQLAlchemy's name of the engine.

    Returns:
        False for engines whose SQL rdskit does not parse.
    """
    if backend not in _DIALECTS:
        return False
    dialect = _DIALECTS[backend]
    try:
        tokens = tokenize(text, dialect)
    except ConfigError:  # an unterminated literal or comment: the server will report it
        return False
    code = [token.text for token in tokens if token.type not in BLANK]
    return ";" not in code[:-1] and effect_of(tokens, dialect).kind is Kind.READ


_DIALECTS = {"postgresql": Dialect.POSTGRES, "mysql": Dialect.MYSQL, "mariadb": Dialect.MYSQL}
