"""Primary keys as JSON, for the checkpoint of a snapshot."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from rdskit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WAYS: Final[dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]]] = {
    "bool": (bool, bool, bool),
    "int": (int, int, int),
    "str": (str, str, str),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "uuid": (UUID, str, UUID),
    "decimal": (Decimal, str, Decimal),
    "datetime": (dt.datetime, dt.datetime.isoformat, dt.datetime.fromisoformat),
    "date": (dt.date, dt.date.isoformat, dt.date.fromisoformat),
    "time": (dt.time, dt.time.isoformat, dt.time.fromisoformat),
}


def key_to_json(key: Sequence[Any]) -> list[list[Any]]:
    """Return a key as JSON has it.

    Raises:
        ConfigError: a value is of a type that cannot be kept.
    """
    return [_written(value) for value in key]


def _written(value: Any) -> list[Any]:
    for name, (kind, write, _) in _WAYS.items():
        if isinstance(value, kind):
            return [name, write(value)]
    raise ConfigError(
        f"a primary key has a value of type {type(value).__name__}, which a snapshot cannot keep: begin with "
        "start='now', and copy that table by other means"
    )


def key_from_json(key: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    """Return the key that `key_to_json` has written."""
    return tuple(_WAYS[name][2](value) for name, value in key)
