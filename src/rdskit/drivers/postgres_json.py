"""``json`` and ``jsonb`` of PostgreSQL as Python values, in the binary format: COPY knows no other here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import asyncpg

_JSONB_VERSION: Final = b"\x01"
"""The first byte of a ``jsonb`` value (PostgreSQL source, ``jsonb_recv``); ``json`` is its text."""


async def set_json_codecs(raw: asyncpg.Connection) -> None:
    """Register both types; they are built in, so that costs no round trip."""
    for name, encode, decode in (("json", _json, json.loads), ("jsonb", _jsonb, _from_jsonb)):
        await raw.set_type_codec(name, schema="pg_catalog", encoder=encode, decoder=decode, format="binary")


def _json(value: Any) -> bytes:
    """A ``str`` is JSON text already, as on MySQL; anything else is written as JSON."""
    return (value if isinstance(value, str) else json.dumps(value)).encode()


def _jsonb(value: Any) -> bytes:
    return _JSONB_VERSION + _json(value)


def _from_jsonb(value: bytes) -> Any:
    return json.loads(value[1:])
