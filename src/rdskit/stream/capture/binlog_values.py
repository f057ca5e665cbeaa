"""The values of a row in the binary log.

Sources: MySQL source ``log_event.cc`` (``log_event_print_value``), ``my_time.cc`` and ``decimal.cc`` (``bin2decimal``).
Zero dates are None, as in queries.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DIGITS: Final = 9
"""Decimal digits in four bytes."""
_BYTES: Final = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
"""Bytes for a group of so many digits."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_ZERO: Final = 0x800000
_DATETIME_ZERO: Final = 0x8000000000

# CPython's names of MySQL's character sets. One that is not here is refused when a table is described.
CODECS: Final = {
    "armscii8": None,
    "ascii": "ascii",
    "big5": "big5",
    "binary": "",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    "cp1256": "cp1256",
    "cp1257": "cp1257",
    "cp850": "cp850",
    "cp852": "cp852",
    "cp866": "cp866",
    "cp932": "cp932",
    "eucjpms": "euc_jp",
    "euckr": "euc_kr",
    "gb18030": "gb18030",
    "gb2312": "gb2312",
    "gbk": "gbk",
    "greek": "iso8859_7",
    "hebrew": "iso8859_8",
    "koi8r": "koi8_r",
    "koi8u": "koi8_u",
    "latin1": "cp1252",
    "latin2": "iso8859_2",
    "latin5": "iso8859_9",
    "latin7": "iso8859_13",
    "sjis": "shift_jis",
    "tis620": "tis_620",
    "ucs2": "utf_16_be",
    "ujis": "euc_jp",
    "utf16": "utf_16_be",
    "utf16le": "utf_16_le",
    "utf32": "utf_32_be",
    "utf8": "utf-8",
    "utf8mb3": "utf-8",
    "utf8mb4": "utf-8",
}


def decimal_size(precision: int, scale: int) -> int:
    """Return how many bytes a DECIMAL takes."""
    whole = precision - scale
    return whole // _DIGITS * 4 + _BYTES[whole % _DIGITS] + scale // _DIGITS * 4 + _BYTES[scale % _DIGITS]


def decimal_reader(precision: int, scale: int) -> Callable[[bytes], Decimal]:
    """Return the function that reads a DECIMAL: groups of nine digits, the incomplete ones at both ends."""
    whole = precision - scale
    groups = [(_BYTES[whole % _DIGITS], whole % _DIGITS)] if whole % _DIGITS else []
    groups += [(4, _DIGITS)] * (whole // _DIGITS) + [(4, _DIGITS)] * (scale // _DIGITS)
    if scale % _DIGITS:
        groups.append((_BYTES[scale % _DIGITS], scale % _DIGITS))

    def read(data: bytes) -> Decimal:
        is_negative = not data[0] & 0x80
        raw = int.from_bytes(data, "big") ^ (1 << (len(data) * 8 - 1))
        if is_negative:
            raw ^= (1 << (len(data) * 8)) - 1
        plain = raw.to_bytes(len(data), "big")
        value, place = 0, 0
        for size, digits in groups:
            value = value * 10**digits + int.from_bytes(plain[place : place + size], "big")
            place += size
        return Decimal((int(is_negative and value != 0), _digits_of(value), -scale))

    return read


def _digits_of(value: int) -> tuple[int, ...]:
    return tuple(map(int, str(value)))


def year(data: bytes) -> int:
    """Read a YEAR."""
    return 1900 + data[0] if data[0] else 0


def day(data: bytes) -> date | None:
    """Read a DATE."""
    packed = int.from_bytes(data, "little")
    try:
        return date(packed >> 9, packed >> 5 & 15, packed & 31)
    except ValueError:
        return None


def moment_reader(precision: int) -> Callable[[bytes], datetime | None]:
    """Return the function that reads a TIMESTAMP(precision): seconds, and a fraction of one to three bytes."""
    scale = _scale(precision)

    def read(data: bytes) -> datetime | None:
        seconds = int.from_bytes(data[:4], "big")
        if not seconds:
            return None
        return _EPOCH + timedelta(0, seconds, int.from_bytes(data[4:], "big") * scale)

    return read


def datetime_reader(precision: int) -> Callable[[bytes], datetime | None]:
    """Return the function that reads a DATETIME(precision)."""
    scale = _scale(precision)

    def read(data: bytes) -> datetime | None:
        packed = int.from_bytes(data[:5], "big") - _DATETIME_ZERO
        months = packed >> 22
        fraction = int.from_bytes(data[5:], "big") * scale
        clock = (packed >> 12 & 31, packed >> 6 & 63, packed & 63)
        try:
            return datetime(months // 13, months % 13, packed >> 17 & 31, *clock, fraction)  # noqa: DTZ001 - as stored
        except ValueError:
            return None

    return read


def interval_reader(precision: int) -> Callable[[bytes], timedelta]:
    """Return the function that reads a TIME(precision), which may be negative."""
    scale = _scale(precision)
    bits = (precision + 1) // 2 * 8
    zero, mask = _TIME_ZERO << bits, (1 << bits) - 1

    def read(data: bytes) -> timedelta:
        packed = int.from_bytes(data, "big") - zero
        size = abs(packed)
        clock = size >> bits
        value = timedelta(
            hours=clock >> 12 & 0x3FF, minutes=clock >> 6 & 63, seconds=clock & 63, microseconds=(size & mask) * scale
        )
        return -value if packed < 0 else value

    return read


def _scale(precision: int) -> int:
    """Return how many microseconds the last digit of a fraction stands for; it is stored in pairs of digits."""
    return int(10 ** (6 - (precision + 1) // 2 * 2))


def bits(data: bytes) -> int:
    """Read a BIT."""
    return int.from_bytes(data, "big")


def enum_reader(values: Sequence[str]) -> Callable[[bytes], str]:
    """Return the function that reads an ENUM; the number 0 is the empty text of a value that was refused."""
    texts = ("", *values)
    return lambda data: texts[int.from_bytes(data, "little")]


def set_reader(values: Sequence[str]) -> Callable[[bytes], str]:
    """Return the function that reads a SET."""

    def read(data: bytes) -> str:
        chosen = int.from_bytes(data, "little")
        return ",".join(value for place, value in enumerate(values) if chosen >> place & 1)

    return read


def binary_reader(length: int) -> Callable[[bytes], bytes]:
    """Return the function that reads a BINARY(length), whose trailing zero bytes are not in the log."""
    return lambda data: data.ljust(length, b"\0")


def text_reader(codec: str) -> Callable[[bytes], Any]:
    """Return the function that reads text of a codec of `CODECS`; the empty one is for bytes."""
    return (lambda data: data.decode(codec)) if codec else bytes
