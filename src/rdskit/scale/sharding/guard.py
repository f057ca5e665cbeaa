"""What no statement on a shard may do: change the key by which its rows are found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rdskit.errors import ConfigError
from rdskit.kernel.sql.insert import name_parts
from rdskit.kernel.sql.tokens import BLANK, Token, TokenType, excerpt, tokenize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.kernel.sql import Dialect
    from rdskit.scale.sharding.model import ShardConfig


class KeyGuard:
    """Refuses assignments to shard keys and buckets; implements the port ``kernel.sql.Rewriter``."""

    def __init__(self, config: ShardConfig, dialect: Dialect) -> None:
        """Begin with the tables that have keys.

        Args:
            config: names them.
            dialect: of the shards.
        """
        self._config = config
        self._dialect = dialect

    def text(self, source: str) -> str:
        """Return the statement as it is.

        Raises:
            ConfigError: it assigns to a shard key, or to the bucket, of a row that exists.
        """
        tokens = [token for token in tokenize(source, self._dialect) if token.type not in BLANK]
        words = [_name(token) for token in tokens]
        if "update" in words:
            self._check(source, tokens, words)
        return source

    def rows(self, table: str, rows: Any, tenant: str | None) -> Any:
        """Return rows as they are; one without a bucket is refused by the column's NOT NULL."""
        del table, tenant
        return rows

    def _check(self, source: str, tokens: Sequence[Token], words: Sequence[str]) -> None:
        tables = [name for name in self._config.tables if name_parts(name, self._dialect)[-1].lower() in words]
        if not tables:
            return
        fixed = {self._config.tables[name].lower() for name in tables} | {self._config.bucket.lower()}
        begun = False
        for place, word in enumerate(words):
            begun = begun or word in {"set", "update"}
            if begun and word in fixed and place + 1 < len(tokens) and self._assigned(tokens, words, place):
                raise ConfigError(
                    f"{tokens[place].text} is a shard key or bucket, and a row with another one belongs elsewhere: "
                    f"insert it there and delete it here; SQL: {excerpt(source)}"
                )

    def _assigned(self, tokens: Sequence[Token], words: Sequence[str], place: int) -> bool:
        """Return whether a name stands where a column is assigned: ``set id =``, ``, id =``, ``set (n, id) =``."""
        begin = place
        while begin >= 2 and tokens[begin - 1].text == ".":  # noqa: PLR2004 - a table's name and the dot
            begin -= 2
        if tokens[place + 1].text in {"=", ":="}:
            return words[begin - 1] in {"set", "update"} or tokens[begin - 1].text == ","
        while begin >= 2 and tokens[begin - 1].text == ",":  # noqa: PLR2004 - a name and the comma
            begin -= 2
        return tokens[begin - 1].text == "(" and words[begin - 2] == "set"


def _name(token: Token) -> str:
    if token.type is TokenType.NAME:
        return token.text[1:-1].lower()
    return token.text.lower() if token.type is TokenType.WORD else ""
