"""The input of a lint rule: one statement and its context."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from rdskit.evolve.migrations.ddl import unquoted
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.tokens import BLANK, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.evolve.migrations.ddl import Action, Ddl


@dataclass(frozen=True)
class Case:
    """One statement.

    Attributes:
        text: the statement.
        ddl: as read; None if it changes no schema.
        product: ``postgres``, ``mysql`` or ``mariadb``.
        transactional: whether its script runs in one transaction.
        new_tables: tables that the migration itself has created before: no one waits for those.
        new_columns: columns that it has added, as ``table.column``.
        rows: rows of its table in the target, estimated; None where no target was given, or the table is not there.
    """

    text: str
    ddl: Ddl | None
    product: str
    transactional: bool = True
    new_tables: frozenset[str] = field(default_factory=frozenset)
    new_columns: frozenset[str] = field(default_factory=frozenset)
    rows: int | None = None

    @property
    def dialect(self) -> Dialect:
        """The lexical rules."""
        return Dialect.POSTGRES if self.product == "postgres" else Dialect.MYSQL

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Return the statement's tokens in lower case, quoted names without quotes."""
        return tuple(unquoted(token) for token in tokenize(self.text, self.dialect) if token.type not in BLANK)

    def begins(self, *words: str) -> bool:
        """Return whether the statement begins with these words."""
        return self.words[: len(words)] == words

    def has(self, *words: str) -> bool:
        """Return whether the statement contains these words, next to each other."""
        length = len(words)
        return any(self.words[index : index + length] == words for index in range(len(self.words) - length + 1))

    @property
    def on_old_table(self) -> bool:
        """Whether the statement is about a table that was there before the migration."""
        return self.ddl is not None and self.ddl.table is not None and self.ddl.table not in self.new_tables

    def actions(self) -> Iterator[Action]:
        """Yield the actions of an ``ALTER TABLE`` on a table that was there before."""
        if self.ddl is not None and self.ddl.is_table_change and self.on_old_table:
            yield from self.ddl.actions


def added_column(action: Action) -> tuple[str, tuple[str, ...]] | None:
    """Return name and definition of the column that an action adds; None if it adds none."""
    words = action.words
    if words[:1] != ("add",):
        return None
    rest = words[1:]
    if rest[:1] == ("column",):
        rest = rest[1:]
    elif rest[:1] and rest[0] in _NO_COLUMN:
        return None
    if rest[:3] == ("if", "not", "exists"):
        rest = rest[3:]
    return (rest[0], rest[1:]) if rest and rest[0] != "(" else None


_NO_COLUMN = frozenset(
    {
        "constraint",
        "primary",
        "unique",
        "foreign",
        "check",
        "index",
        "key",
        "fulltext",
        "spatial",
        "exclude",
        "partition",
    }
    | {"period", "system", "value", "generated", "table", "not"}
)


def default_of(definition: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tokens of a column's default; empty if it has none."""
    if "default" not in definition:
        return ()
    rest = definition[definition.index("default") + 1 :]
    found: list[str] = []
    depth = 0
    for word in rest:
        if depth == 0 and word in _ENDS_DEFAULT and found:
            break
        depth += (word in "([") - (word in ")]")
        found.append(word)
    return tuple(found)


_ENDS_DEFAULT = frozenset(
    {"not", "null", "constraint", "check", "references", "unique", "primary", "comment", "after", "first", "generated"}
    | {"collate", "on"}
)
