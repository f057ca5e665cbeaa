"""Check that all rows of an insert have the columns of the first one."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from rdskit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rdskit.kernel.ports import Batch


class Columns:
    """The columns of the first row, which all others must have too, in any order.

    Attributes:
        names: the columns.
    """

    def __init__(self, first: Any) -> None:
        """Read the columns of the first row.

        Raises:
            ConfigError: it is not a mapping, or has no columns.
        """
        if not hasattr(first, "keys"):
            raise ConfigError(f"row 1 is a {type(first).__name__}: give mappings of column names to values")
        self.names: tuple[str, ...] = tuple(first.keys())
        if not self.names:
            raise ConfigError("row 1 has no columns: give mappings of column names to values")
        self._widths = {len(self.names)}
        self._values: Callable[[Any], tuple[Any, ...]] = _getter(self.names)

    def values(self, rows: Sequence[Any], before: int) -> Batch:
        """Return the values of rows, in the order of the columns.

        Args:
            rows: mappings.
            before: number of rows before these, for messages.

        Raises:
            ConfigError: a row has other columns.
        """
        # Same length and all names of row 1 present: that implies the same columns, without a set per row.
        try:
            if set(map(len, rows)) == self._widths:
                return list(map(self._values, rows))
        except (KeyError, TypeError, IndexError):
            pass  # find the row below
        raise self._difference(rows, before)

    def _difference(self, rows: Sequence[Any], before: int) -> ConfigError:
        for number, row in enumerate(rows, start=before + 1):
            if not hasattr(row, "keys"):
                return ConfigError(f"row {number} is a {type(row).__name__}: give mappings of column names to values")
            given = set(row.keys())
            if given != set(self.names):
                return ConfigError(
                    f"row {number} {_difference_text(self.names, given)} than row 1; nothing was inserted"
                )
        raise AssertionError("rows with the same columns were refused")


def _difference_text(names: Sequence[str], given: set[str]) -> str:
    lacks = [f"lacks {name!r}" for name in names if name not in given]
    more = [f"has {name!r} besides" for name in sorted(given - set(names), key=str)]
    return f"has other columns ({', '.join(lacks + more)})"


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    (name,) = names
    return lambda row: (row[name],)
