"""Decode columns of MySQL and MariaDB with codecs, from the values that asyncmy returns, for one connection."""

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

#: Types that a result distinguishes. On the wire CHAR, ENUM and SET are one type; so are VARCHAR and VARBINARY, and
#: TEXT and BLOB. Integers and floats are left out, because rdskit's own statements read them.
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
    """Return a decoder for each column type that has a codec.

    Raises:
        DriverError: a codec names a type that results do not distinguish.
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
        found[TYPES[name]] = codec.decode if name == JSON_TYPE else _text_decoder(codec)
    return found


def _text_decoder(codec: Codec) -> Callable[[Any], Any]:
    return lambda value: codec.decode(_server_text(value))


def _server_text(value: Any) -> str:
    """Format a value as the server shows it."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if not isinstance(value, timedelta):
        return str(value)
    seconds, fraction = divmod(abs(value) // timedelta(microseconds=1), 1_000_000)
    sign = "-" if value < timedelta(0) else ""
    clock = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{clock}.{fraction:06}" if fraction else clock
