"""Rows of the MySQL family: tuples that know the names of their columns."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from asyncmy.constants import FIELD_TYPE

from rdskit.drivers.mysql.failures import undecoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rdskit.drivers.mysql.codecs import Decoders
    from rdskit.kernel import ports

_NO_DECODERS: Final[Mapping[int, Any]] = MappingProxyType({})
_METHODS = frozenset({"get", "items", "keys", "values"})


class Row(tuple[Any, ...]):
    """One row: ``row["name"]``, ``row.name``, ``row[0]``.

    Each prepared statement has a subclass with its own columns. A column whose name is a method's (``keys``) is reached
    as ``row["keys"]``; of columns with the same name the last one counts.
    """

    __slots__ = ()
    _columns: ClassVar[tuple[str, ...]] = ()
    _index: ClassVar[Mapping[str, int]] = {}

    def __getitem__(self, key: Any) -> Any:
        if type(key) is str:
            key = self._index[key]
        return tuple.__getitem__(self, key)

    def __getattr__(self, name: str) -> Any:
        columns = ", ".join(self._columns)
        raise AttributeError(f"the row has no column {name!r}; its columns are: {columns}")

    def __contains__(self, key: object) -> bool:
        return key in self._index

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._columns, tuple(self))

    def __repr__(self) -> str:
        return f"<Row {' '.join(f'{name}={value!r}' for name, value in self.items())}>"

    def keys(self) -> Iterator[str]:
        """The columns' names."""
        return iter(self._columns)

    def values(self) -> Iterator[Any]:
        """The columns' values."""
        return iter(self)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Names and values."""
        return zip(self._columns, self, strict=True)

    def get(self, key: str, default: Any = None, /) -> Any:
        """The value of a column, or the default where there is none of that name."""
        return self[key] if key in self._index else default


class _Read(NamedTuple):
    """A column that a codec reads.

    Attributes:
        place: of the column, from 0.
        name: its name.
        kind: the number of its type.
        decode: makes the value.
    """

    place: int
    name: str
    kind: int
    decode: Callable[[Any], Any]


class Shape:
    """The columns of a statement's result.

    Attributes:
        description: what asyncmy says of them; the same object as long as they have not changed.
        row: makes a row of a tuple of values; it raises `DriverError` where a codec cannot read one.
    """

    __slots__ = ("description", "row")

    def __init__(self, description: Sequence[Sequence[Any]], decoders: Decoders = _NO_DECODERS) -> None:
        made = row_class(tuple(column[0] for column in description))
        columns = list(enumerate(description))
        timestamps = [i for i, (_, kind, *_) in columns if kind == FIELD_TYPE.TIMESTAMP and kind not in decoders]
        reads = [
            _Read(i, name, kind, decoders[kind]) for i, (name, kind, *_) in enumerate(description) if kind in decoders
        ]
        self.description = description
        self.row: Callable[[tuple[Any, ...]], Row] = made
        if reads:
            self.row = lambda values: made(_decoded(_aware(values, timestamps), reads))
        elif timestamps:
            self.row = lambda values: made(_aware(values, timestamps))

    def rows(self, values: Iterable[tuple[Any, ...]]) -> list[ports.Row]:
        """Make rows."""
        return list(map(self.row, values))


def _aware(values: tuple[Any, ...], timestamps: Sequence[int]) -> list[Any]:
    """TIMESTAMP is a moment, sent in the session's time zone, which is UTC."""
    changed = list(values)
    for index in timestamps:
        if isinstance(changed[index], datetime):
            changed[index] = changed[index].replace(tzinfo=UTC)
    return changed


def _decoded(values: list[Any], reads: Sequence[_Read]) -> list[Any]:
    """Have codecs read their columns.

    Raises:
        DriverError: a value of one could not be read.
    """
    for place, name, kind, decode in reads:
        if values[place] is not None:
            try:
                values[place] = decode(values[place])
            except Exception as error:
                raise undecoded(name, kind, error) from error
    return values


def row_class(columns: tuple[str, ...]) -> type[Row]:
    """The class of rows with these columns."""
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
