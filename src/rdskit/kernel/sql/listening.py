"""Refuse LISTEN as a plain statement: its notifications would arrive on a connection that is back in the pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.errors import ConfigError
from rdskit.kernel.sql.model import Dialect, Kind
from rdskit.kernel.sql.tokens import BLANK, tokenize

if TYPE_CHECKING:
    from rdskit.kernel.sql.model import Statement


def refuse_listening(statement: Statement) -> None:
    """Refuse LISTEN and UNLISTEN on a connection that goes back to the pool.

    Raises:
        ConfigError: the statement is one of them.
    """
    # The cheap checks come first: this runs before every call that waits for a connection.
    if statement.kind is not Kind.SESSION or statement.dialect is not Dialect.POSTGRES:
        return
    words = [token.text for token in tokenize(statement.source, statement.dialect) if token.type not in BLANK]
    if words[0].lower() in {"listen", "unlisten"}:
        channel = words[1] if len(words) > 1 else "channel"
        raise ConfigError(
            f"{' '.join(words[:2])!r} would receive nothing: its connection goes back to the pool, and notifications "
            f"with it; use db.listen({channel!r})"
        )
