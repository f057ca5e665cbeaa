"""Register the codecs of a PostgreSQL connection: JSON, and those that the application passes for other types.

A decoder that raises leaves an `Unread` in the row and a notice with the connection. So the whole response is read, and
the error can name the column. ``raw`` is asyncpg's connection in this module, extended as ``postgres.raw.Raw``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import asyncpg

from rdskit.drivers.postgres.arrays import ListsAsElements
from rdskit.errors import ConfigError
from rdskit.kernel.codecs import JSON, JSON_TYPE, Codec, text_of
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.server_words import escaped
from rdskit.kernel.text_arrays import TextArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rdskit.kernel.codecs import NamedCodec

_JSONB_TYPE: Final = "jsonb"
_JSONB_VERSION: Final = b"\x01"
"""The first byte of a ``jsonb`` value (PostgreSQL source, ``jsonb_recv``); ``json`` is its text."""

#: By the oids of pg_type.dat, which never change: a type, its array, and the prefix of the text.
_JSON_OIDS: Final = ((JSON_TYPE, 114, 199, b""), (_JSONB_TYPE, 3802, 3807, _JSONB_VERSION))
_CHOSEN: Final = """
select given.name as given, t.oid, t.typname::text as name, n.nspname::text as schema, t.typtype::text as kind,
       t.typarray as array_oid, t.typdelim::text as delimiter
from unnest($1::text[]) as given(name) left join pg_type t on t.oid = to_regtype(given.name)
left join pg_namespace n on n.oid = t.typnamespace
"""
#: Types that rdskit reads itself: bool, "char", name, int8, int2, int4, text, oid, xid, float8, varchar, pg_lsn, xid8.
_OWN: Final = frozenset({16, 18, 19, 20, 21, 23, 25, 26, 28, 701, 1043, 3220, 5069})
_NO_CODEC: Final = {"d": "a domain, whose values arrive as its base type's: name that", "p": "a pseudo-type"}


class Unread:
    """Placeholder in a row for a value that its decoder could not read.

    Attributes:
        reason: what the decoder raised.
    """

    __slots__ = ("reason",)

    def __init__(self, reason: Exception) -> None:
        self.reason = reason


def unread_in(value: Any) -> Unread | None:
    """Return the placeholder for a value, or for a part of it, that could not be read; None if all were."""
    if isinstance(value, Unread):
        return value
    if isinstance(value, list | tuple | asyncpg.Record):
        return next((found for part in value if (found := unread_in(part)) is not None), None)
    return unread_in((value.lower, value.upper)) if isinstance(value, asyncpg.Range) else None


def _guarded_decoder(decode: Callable[[Any], Any], notices: list[object]) -> Callable[[Any], Any]:
    """Return a decoder that records an exception instead of raising it.

    An exception inside asyncpg's protocol would leave the response half read and make the connection unusable.
    """

    def read(value: Any) -> Any:
        try:
            return decode(value)
        except Exception as error:  # noqa: BLE001 - a decoder may raise anything; the call raises what it means
            notices.append(error)
            return Unread(error)

    return read


class _Json:
    """Encode and decode ``json`` or ``jsonb`` in the binary format."""

    def __init__(self, codec: Codec, before: bytes) -> None:
        self._codec = codec
        self._before = before
        self._begin = len(before)

    def encode(self, value: Any) -> bytes:
        """Encode a value; a ``str`` is a finished document already, also with a codec of the application's."""
        is_text = type(value) is str
        return self._before + (value if is_text else text_of(self._codec, value)).encode()

    def decode(self, data: bytes) -> Any:
        return self._codec.decode(data[self._begin :].decode())


async def set_codecs(raw: Any, codecs: Iterable[NamedCodec]) -> None:
    """Register the codecs; JSON costs no round trip, all others together cost one.

    Raises:
        DriverError: a name has no type in the database, or its type cannot have a codec.
    """
    chosen = dict(codecs)
    settings = raw._protocol.get_settings()  # noqa: SLF001 - `set_type_codec` does the same, after a look-up by name
    json = chosen.pop(JSON_TYPE, JSON)
    for name, oid, array_oid, before in _JSON_OIDS:
        one = _Json(chosen.pop(name, json), before)
        _register(settings, (oid, name), one.encode, _guarded_decoder(one.decode, raw.notices), "binary")
        set_array_of_json(raw, (array_oid, f"_{name}"), oid, one)
        raw.json[oid] = one
    if chosen:
        await _set_chosen(raw, settings, chosen)


def set_array_of_json(raw: Any, array: tuple[int, str], element: int, codec: Any) -> None:
    """Register an array of a JSON type, or of a domain over one.

    Args:
        raw: the connection.
        array: oid and name.
        element: oid of the elements' type.
        codec: writes and reads the elements.
    """
    made = ListsAsElements(element, codec.encode, codec.decode)
    settings = raw._protocol.get_settings()  # noqa: SLF001 - as above
    _register(settings, array, made.encode, _guarded_decoder(made.decode, raw.notices), "binary")


def set_array_of_texts(raw: Any, array: tuple[int, str], delimiter: str, codec: Codec | None) -> None:
    """Register an array whose elements are sent as text; ``codec`` is the application's for them, if any."""
    encode, decode = (_same, _same) if codec is None else (lambda value: text_of(codec, value), codec.decode)
    made = TextArray(delimiter, encode, decode)
    settings = raw._protocol.get_settings()  # noqa: SLF001 - as above
    _register(settings, array, made.encode, _guarded_decoder(made.decode, raw.notices), "text")


def _same(value: Any) -> Any:
    return value


async def _set_chosen(raw: Any, settings: Any, chosen: Mapping[str, Codec]) -> None:
    try:
        types = await raw.fetch(_CHOSEN, list(chosen))
    except asyncpg.SyntaxOrAccessError as error:
        raise _refused(f"codecs= has a name that no type can have: {escaped(str(error))}; correct it") from error
    for found in types:
        if found["oid"] is None:
            raise _refused(
                f"codecs= names the type {found['given']!r}, which the database does not have: create it or its "
                "extension first, or correct the name"
            )
        why = "read by rdskit's own statements too" if found["oid"] in _OWN else _NO_CODEC.get(found["kind"])
        if why is not None:
            raise _refused(f"codecs= names the type {found['given']!r}, which is {why}")
        codec = chosen[found["given"]]
        named = (found["oid"], found["name"])
        _register(settings, named, _text_encoder(codec), _guarded_decoder(codec.decode, raw.notices), "text")
        raw.choose(found["oid"], codec)
        if found["array_oid"]:
            set_array_of_texts(raw, (found["array_oid"], f"_{found['name']}"), found["delimiter"], codec)


def _text_encoder(codec: Codec) -> Callable[[Any], str]:
    return lambda value: text_of(codec, value)


def _register(
    settings: Any, named: tuple[int, str], encode: Callable[[Any], Any], decode: Callable[[Any], Any], form: str
) -> None:
    oid, name = named
    settings.add_python_codec(oid, name, "", (), "scalar", encode, decode, form)


def _refused(message: str) -> DriverError:
    return DriverError(Failure.REFUSED, ConfigError(message))


def unread_columns(rows: Sequence[Any], attributes: Sequence[Any]) -> Iterator[tuple[str, str, Exception]]:
    """Yield name, type and reason of each column with a value that could not be read, once each.

    Args:
        rows: of one answer.
        attributes: asyncpg's description of its columns.
    """
    reported: set[int] = set()
    for row in rows:
        for place, value in enumerate(row):
            if place not in reported and (found := unread_in(value)) is not None:
                reported.add(place)
                yield attributes[place].name, attributes[place].type.name, found.reason
