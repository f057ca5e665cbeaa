"""Write values as literals of a MySQL statement, for lists with more elements than a statement has parameters.

Each literal means the same in every ``sql_mode``, and none can end early: texts and bytes are hexadecimal.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from rdskit.errors import StatementError

if TYPE_CHECKING:
    from collections.abc import Callable


def mysql_literal(value: Any) -> str:
    """Return a literal of the type that the value has as a parameter.

    Raises:
        StatementError: there is no literal for it.
    """
    if value is None:
        return "null"
    for kind, write in _FORMS:
        if isinstance(value, kind):
            return write(value)
    raise StatementError(f"a list of this length takes no {type(value).__name__}: give numbers, texts, bytes or dates")


def _finite(text: Callable[[Any], str]) -> Callable[[Any], str]:
    def write(value: Any) -> str:
        if not math.isfinite(value):
            raise StatementError(f"a list has the {type(value).__name__} {value}, which MySQL has no counterpart for")
        return text(value)

    return write


def _datetime(value: datetime) -> str:
    naive = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    return f"timestamp'{naive.isoformat(sep=' ')}'"


def _interval(value: timedelta) -> str:
    micros = abs(value) // timedelta(microseconds=1)
    seconds, micros = divmod(micros, 1_000_000)
    sign = "-" if value < timedelta(0) else ""
    return f"time'{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micros:06}'"


def _text(value: Any) -> str:
    return f"_utf8mb4 x'{str(value).encode().hex()}'"


# In order: an IntEnum is an int as well, a bool too, and a datetime is a date.
_FORMS: Final[tuple[tuple[type | tuple[type, ...], Callable[[Any], str]], ...]] = (
    (Enum, lambda value: mysql_literal(value.value)),
    (bool, lambda value: str(int(value))),
    (int, lambda value: str(int(value))),
    (float, _finite(lambda value: f"{value:.17e}")),
    (Decimal, _finite(lambda value: f"{value:f}")),
    ((str, UUID), _text),
    ((bytes, bytearray, memoryview), lambda value: f"x'{bytes(value).hex()}'"),
    (datetime, _datetime),
    (date, lambda value: f"date'{value.isoformat()}'"),
    (time, lambda value: f"time'{value.replace(tzinfo=None).isoformat()}'"),
    (timedelta, _interval),
)
