"""Rows of the MySQL family, made of what asyncmy reads."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asyncmy.constants import FIELD_TYPE

from rdskit.drivers.mysql.failures import undecoded
from rdskit.drivers.rows import Row, row_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rdskit.drivers.mysql.codecs import Decoders
    from rdskit.kernel import ports

_NO_DECODERS: Final[Mapping[int, Any]] = MappingProxyType({})


class _DecodedColumn(NamedTuple):
    """A column that a codec decodes.

    Attributes:
        place: of the column, from 0.
        name: its name.
        kind: the number of its type.
        decode: the codec's decoder.
    """

    place: int
    name: str
    kind: int
    decode: Callable[[Any], Any]


class Shape:
    """Build rows from a statement's results.

    Attributes:
        description: asyncmy's column description; the same object as long as the columns have not changed.
        row: builds a row from a tuple of values; raises `DriverError` where a codec cannot read a value.
    """

    __slots__ = ("description", "row")

    def __init__(self, description: Sequence[Sequence[Any]], decoders: Decoders = _NO_DECODERS) -> None:
        made = row_class(tuple(column[0] for column in description))
        columns = list(enumerate(description))
        timestamps = [i for i, (_, kind, *_) in columns if kind == FIELD_TYPE.TIMESTAMP and kind not in decoders]
        reads = [
            _DecodedColumn(i, name, kind, decoders[kind])
            for i, (name, kind, *_) in enumerate(description)
            if kind in decoders
        ]
        self.description = description
        self.row: Callable[[tuple[Any, ...]], Row] = made
        if reads:
            self.row = lambda values: made(_decoded(_aware(values, timestamps), reads))
        elif timestamps:
            self.row = lambda values: made(_aware(values, timestamps))

    def rows(self, values: Iterable[tuple[Any, ...]]) -> list[ports.Row]:
        """Build a row from each tuple of values."""
        return list(map(self.row, values))


def _aware(values: tuple[Any, ...], timestamps: Sequence[int]) -> list[Any]:
    """Attach UTC to TIMESTAMP values: the server sends them in the session's time zone, which is UTC."""
    changed = list(values)
    for index in timestamps:
        if isinstance(changed[index], datetime):
            changed[index] = changed[index].replace(tzinfo=UTC)
    return changed


def _decoded(values: list[Any], reads: Sequence[_DecodedColumn]) -> list[Any]:
    """Replace the values of columns that have a codec with what the codec returns.

    Raises:
        DriverError: a codec could not read a value.
    """
    for place, name, kind, decode in reads:
        if values[place] is not None:
            try:
                values[place] = decode(values[place])
            except Exception as error:
                raise undecoded(name, kind, error) from error
    return values


__all__ = ["Row", "Shape", "row_class"]
