"""Rows that are tuples with the names of their columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_METHODS = frozenset({"get", "items", "keys", "values"})


class Row(tuple[Any, ...]):
    """A result row: ``row["name"]``, ``row.name``, ``row[0]``.

    Each prepared statement has a subclass with its own columns. A column with the name of a method (``keys``) is
    available as ``row["keys"]``. Of columns with the same name the last one counts.
    """

    __slots__ = ()
    _columns: ClassVar[tuple[str, ...]] = ()
    _index: ClassVar[Mapping[str, int]] = {}

    def __getitem__(self, key: Any) -> Any:
        if type(key) is str:
            key = self._index[key]
        return tuple.__getitem__(self, key)

    def __getattr__(self, name: str) -> Any:
        if name in self._index:  # a name that the class has no property for
            return self[name]
        columns = ", ".join(self._columns)
        raise AttributeError(f"the row has no column {name!r}; its columns are: {columns}")

    def __contains__(self, key: object) -> bool:
        return key in self._index

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._columns, tuple(self))

    def __repr__(self) -> str:
        return f"<Row {' '.join(f'{name}={value!r}' for name, value in self.items())}>"

    def keys(self) -> Iterator[str]:
        """Return the columns' names."""
        return iter(self._columns)

    def values(self) -> Iterator[Any]:
        """Return the columns' values."""
        return iter(self)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Return names and values."""
        return zip(self._columns, self, strict=True)

    def get(self, key: str, default: Any = None, /) -> Any:
        """Return the value of a column, or the default where no column has that name."""
        return self[key] if key in self._index else default


def row_class(columns: tuple[str, ...]) -> type[Row]:
    """Return the subclass of `Row` for these columns."""
    index = {name: number for number, name in enumerate(columns)}
    namespace: dict[str, Any] = {"__slots__": (), "_columns": columns, "_index": index}
    for name, number in index.items():
        if name not in _METHODS and not name.startswith("_"):
            namespace[name] = property(_reader(number))
    return type("Row", (Row,), namespace)


def _reader(number: int) -> Any:
    # A property, because a tuple's own `count` and `index` are common names of columns.
    def read(row: Row) -> Any:
        return tuple.__getitem__(row, number)

    return read


def _restored(columns: tuple[str, ...], values: tuple[Any, ...]) -> Row:
    return row_class(columns)(values)
