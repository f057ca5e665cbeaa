"""Codecs: how values of a type are written and read where the application chooses it, by ``connect(codecs=…)``.

JSON has a codec of its own. It distinguishes values that Python's ``json`` conflates: SQL NULL and the JSON ``null``,
and a JSON string and the text of a JSON document.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_function, wrong
from rdskit.kernel.typing import override

if TYPE_CHECKING:
    from typing import Self


class Codec(NamedTuple):
    """Functions that encode and decode the values of one server type.

    Attributes:
        encode: returns the server's text for a value, as ``str`` or ``bytes``. For JSON it is not called with a
            ``str``, which is the text of a document already.
        decode: returns the value for the server's text; it is not called for SQL NULL.
        types: classes of arguments that ``encode`` accepts on MySQL and MariaDB, where the server does not report the
            type of a parameter; for ``json`` in addition to ``dict`` and ``list``.
    """

    encode: Callable[[Any], str | bytes]
    decode: Callable[[str], Any]
    types: tuple[type, ...] = ()


NamedCodec = tuple[str, Codec]
"""The name of a type, in lower case, and its codec."""

JSON_TYPE: Final = "json"
"""The name of JSON in ``codecs=``; on PostgreSQL it covers both ``json`` and ``jsonb``."""


class JsonNull:
    """The JSON ``null`` as the whole value of a column, unlike SQL NULL; `JSON_NULL` is the only instance."""

    __slots__ = ()
    _one: JsonNull | None = None

    def __new__(cls) -> Self:
        """Return the only instance, also for copies and pickles."""
        if cls._one is None:
            cls._one = super().__new__(cls)
        return cls._one  # type: ignore[return-value]  # no class is derived from it

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> tuple[type[JsonNull], tuple[()]]:
        return JsonNull, ()

    def __repr__(self) -> str:
        return "JSON_NULL"


JSON_NULL: Final = JsonNull()


class JsonString(str):
    """A JSON string as the whole value of a column: as an argument it stays a string, not a document's text."""

    __slots__ = ()

    @override
    def __repr__(self) -> str:
        return f"JsonString({super().__repr__()})"


def json_text(value: Any, *, allow_nan: bool = True) -> str:
    """Encode a value as JSON; a ``str`` is the text of a document already.

    Args:
        value: a value for ``json.dumps``, `JSON_NULL` or a `JsonString`.
        allow_nan: write NaN and infinities, which every server refuses, instead of refusing them here.
    """
    if isinstance(value, str) and not isinstance(value, JsonString):
        return value
    return json.dumps(value, allow_nan=allow_nan, default=_null)


def _null(value: object) -> None:
    if value is not JSON_NULL:
        raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")


def json_value(text: str | bytes) -> Any:
    """Decode a JSON document."""
    value = json.loads(text)
    if value is None:
        return JSON_NULL
    return JsonString(value) if type(value) is str else value


JSON: Final = Codec(json_text, json_value)


def text_of(codec: Codec, value: Any) -> str:
    """Encode a value with a codec, as text.

    Raises:
        TypeError: the codec returned neither ``str`` nor ``bytes``.
    """
    text = codec.encode(value)
    if isinstance(text, str):
        return text
    if isinstance(text, bytes | bytearray | memoryview):
        return bytes(text).decode()
    raise TypeError(f"the codec's encode returned {type(text).__name__}: return str or bytes")


def json_codec(codecs: Iterable[NamedCodec]) -> Codec:
    """Return the application's codec for JSON, or `JSON`."""
    return dict(codecs).get(JSON_TYPE, JSON)


def checked_codecs(codecs: Any) -> tuple[NamedCodec, ...]:
    """Check the argument ``codecs=`` of ``connect`` and return its items.

    Raises:
        ConfigError: it is not a mapping from type names to codecs.
    """
    if codecs is None:
        return ()
    if not isinstance(codecs, Mapping):
        raise wrong("codecs", codecs, "give a dict, as in codecs={'json': rdskit.Codec(orjson.dumps, orjson.loads)}")
    return tuple((_checked_name(name), _checked_codec(name, codec)) for name, codec in codecs.items())


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise wrong("codecs[…]", name, "give the name of a type, as in 'json'")
    return name


def _checked_codec(name: str, codec: Any) -> Codec:
    types: Any = getattr(codec, "types", ())
    if not isinstance(codec, Codec):
        raise wrong(f"codecs[{name!r}]", codec, "give rdskit.Codec(encode, decode)")
    require_function(f"codecs[{name!r}].encode", codec.encode)
    require_function(f"codecs[{name!r}].decode", codec.decode)
    if not isinstance(types, tuple) or not all(isinstance(kind, type) for kind in types):
        raise ConfigError(f"codecs[{name!r}].types is not a tuple of classes: write types=(Money,)")
    return codec
