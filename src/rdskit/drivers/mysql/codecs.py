"""Codecs of columns of MySQL and MariaDB: they read what asyncmy gives, in the rows of one connection."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from asyncmy.constants import FIELD_TYPE

from rdskit.errors import ConfigError
from rdskit.kernel.codecs import JSON, JSON_TYPE, Codec
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rdskit.kernel.codecs import NamedCodec

    Decoders = Mapping[int, Callable[[Any], Any]]

#: What an answer tells apart; CHAR, ENUM and SET are one type there, as are VARCHAR and VARBINARY, TEXT and BLOB. Not
#: the integers and floats, which rdskit's own statements read.
TYPES: Final = {
    JSON_TYPE: FIELD_TYPE.JSON,
    "decimal": FIELD_TYPE.NEWDECIMAL,
    "date": FIELD_TYPE.DATE,
    "datetime": FIELD_TYPE.DATETIME,
    "timestamp": FIELD_TYPE.TIMESTAMP,
    "time": FIELD_TYPE.TIME,
    "year": FIELD_TYPE.YEAR,
    "bit": FIELD_TYPE.BIT,
}


def decoders(codecs: Iterable[NamedCodec]) -> Decoders:
    """Return what reads the columns of each type that has a codec.

    Raises:
        DriverError: a name is none of a type that answers tell apart.
    """
    found: dict[int, Callable[[Any], Any]] = {FIELD_TYPE.JSON: JSON.decode}
    for name, codec in codecs:
        if name not in TYPES:
            raise DriverError(
                Failure.REFUSED,
                ConfigError(
                    f"codecs= names the type {name!r}, which cannot have one on MySQL and MariaDB: choose "
                    f"among {', '.join(TYPES)}"
                ),
            )
        found[TYPES[name]] = codec.decode if name == JSON_TYPE else _reading_text(codec)
    return found


def _reading_text(codec: Codec) -> Callable[[Any], Any]:
    return lambda value: codec.decode(_text(value))


def _text(value: Any) -> str:
    """Write a value as the server shows it."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if not isinstance(value, timedelta):
        return str(value)
    seconds, fraction = divmod(abs(value) // timedelta(microseconds=1), 1_000_000)
    sign = "-" if value < timedelta(0) else ""
    clock = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{clock}.{fraction:06}" if fraction else clock
