"""How the values of a type are written and read, where the application chooses that: ``connect(codecs=…)``.

JSON has one of its own, which tells apart what Python's ``json`` gives the same value for: SQL NULL and the JSON
``null``, and a JSON string and the text of a JSON document.
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
    """Functions that write and read the values of one type of the server.

    Attributes:
        encode: makes the server's text of a value, as ``str`` or ``bytes``. For JSON a ``str`` is not passed to it: it
            is the text of a document already.
        decode: makes a value of the server's text; SQL NULL is not passed to it.
        types: classes of arguments that ``encode`` takes on MySQL and MariaDB, where the server does not say what an
            argument is for; for ``json`` besides ``dict`` and ``list``.
    """

    encode: Callable[[Any], str | bytes]
    decode: Callable[[str], Any]
    types: tuple[type, ...] = ()


NamedCodec = tuple[str, Codec]
"""The name of a type, in lower case, and its codec."""

JSON_TYPE: Final = "json"
"""The name that ``codecs=`` has for JSON: on PostgreSQL both ``json`` and ``jsonb``."""


class JsonNull:
    """The JSON ``null`` as the whole value of a column, which is not SQL NULL; `JSON_NULL` is the only one."""

    __slots__ = ()
    _one: JsonNull | None = None

    def __new__(cls) -> Self:
        """Return the only one, also where it is copied or read from a pickle."""
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
    """A JSON string as the whole value of a column: written again it is a string, not the text of a document."""

    __slots__ = ()

    @override
    def __repr__(self) -> str:
        return f"JsonString({super().__repr__()})"


def json_text(value: Any, *, allow_nan: bool = True) -> str:
    """Write a value as JSON; a ``str`` is the text of a document already.

    Args:
        value: what ``json.dumps`` takes, `JSON_NULL` or a `JsonString`.
        allow_nan: write NaN and infinities, which no server takes, and leave it to the server to say so.
    """
    if isinstance(value, str) and not isinstance(value, JsonString):
        return value
    return json.dumps(value, allow_nan=allow_nan, default=_null)


def _null(value: object) -> None:
    if value is not JSON_NULL:
        raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")


def json_value(text: str | bytes) -> Any:
    """Read a JSON document."""
    value = json.loads(text)
    if value is None:
        return JSON_NULL
    return JsonString(value) if type(value) is str else value


JSON: Final = Codec(json_text, json_value)


def text_of(codec: Codec, value: Any) -> str:
    """Write a value by a codec.

    Raises:
        TypeError: the codec gave neither ``str`` nor ``bytes``.
    """
    text = codec.encode(value)
    if isinstance(text, str):
        return text
    if isinstance(text, bytes | bytearray | memoryview):
        return bytes(text).decode()
    raise TypeError(f"the codec's encode gave {type(text).__name__}: give str or bytes")


def json_codec(codecs: Iterable[NamedCodec]) -> Codec:
    """Return the codec for JSON: the one that was chosen, or `JSON`."""
    return dict(codecs).get(JSON_TYPE, JSON)


def checked_codecs(codecs: Any) -> tuple[NamedCodec, ...]:
    """Check ``codecs=`` of ``connect``.

    Raises:
        ConfigError: it is no mapping from names of types to codecs.
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
        raise ConfigError(f"codecs[{name!r}].types is no tuple of classes: write types=(Money,)")
    return codec
