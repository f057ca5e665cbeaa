"""Completion candidates: tables after FROM, columns of the named tables, keywords."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rdskit.operate.shell.model import Column

_WORDS: Final = """
    select from where and or not in is null like between exists distinct as on using join left right inner outer cross
    full group order by having limit offset asc desc union all intersect except insert into values update set delete
    returning create table index view unique primary key foreign references default check constraint alter add drop
    column rename to type begin commit rollback explain analyze with case when then else end count sum avg min max
    coalesce cast current_date current_timestamp now truncate show true false interval lateral recursive window over
    partition grant revoke vacuum
"""
KEYWORDS: Final = tuple(_WORDS.split())
_TABLE_NEXT: Final = re.compile(
    r"\b(from|join|into|update|table|truncate|references|describe)\s+[\w.\"`]*$", re.IGNORECASE
)
_LIST_NEXT: Final = re.compile(r"\bfrom\s+[^()]*,\s*[\w.\"`]*$", re.IGNORECASE)
_NAMED: Final = re.compile(
    r"\b(?:from|join|into|update)\s+(?:only\s+)?([\w.\"`]+)(?:\s+(?:as\s+)?(?!(?:where|on|using|set|join|left|right|inner|"
    r"cross|full|order|group|limit|values|returning|select|natural)\b)(\w+))?|,\s*([\w.\"`]+)(?:\s+(?:as\s+)?(\w+))?",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[\w.\"`\\]*$")


class Candidates:
    """Propose names of a database, the likeliest for the position in the statement first.

    Args:
        columns: the tables' columns, in the order of the proposals.
    """

    def __init__(self, columns: Sequence[Column] = ()) -> None:
        self._tables: dict[str, list[str]] = {}
        for column in columns:
            for name in (column.table, f"{column.schema}.{column.table}"):
                self._tables.setdefault(name.lower(), []).append(column.name)
        self._names = list(dict.fromkeys(column.table for column in columns))
        self._schemas = list(dict.fromkeys(f"{column.schema}.{column.table}" for column in columns))

    def for_text(self, before: str, after: str = "") -> tuple[str, list[str]]:
        r"""Return the part of a word that is there, and what it may become, the likeliest first.

        Args:
            before: the statement up to the cursor.
            after: the rest of it.
        """
        found = _WORD.search(before)
        word = found[0] if found else ""
        if before.lstrip().startswith("\\"):
            return word, self._matching(word, [*self._names, *self._schemas])
        if _TABLE_NEXT.search(before) or _LIST_NEXT.search(before):
            return word, self._matching(word, self._schemas if "." in word else [*self._names, *self._schemas])
        named = self._named(before + after)
        qualifier, dot, part = word.rpartition(".")
        if dot:
            return part, self._matching(part, self._tables.get(named.get(qualifier.lower(), qualifier.lower()), []))
        columns = [name for table in named.values() for name in self._tables.get(table, [])]
        keywords = [each.upper() if word[:1].isupper() else each for each in KEYWORDS]
        return word, self._matching(word, [*columns, *named, *keywords, *self._names])

    def _named(self, text: str) -> dict[str, str]:
        """Return the tables that a statement names, by the alias or name under which it uses them."""
        named: dict[str, str] = {}
        for match in _NAMED.finditer(text):
            table, alias = match[1] or match[3], match[2] or match[4]
            plain = table.replace('"', "").replace("`", "").lower()
            if plain in self._tables:
                named[(alias or plain.rpartition(".")[2]).lower()] = plain
        return named

    @staticmethod
    def _matching(word: str, names: Iterable[str]) -> list[str]:
        beginning = word.lower()
        return [name for name in dict.fromkeys(names) if name.lower().startswith(beginning) and name != word]
