"""Read and write PostgreSQL arrays that asyncpg would change or break.

asyncpg reads every list within a list as another dimension, so that ``[[1], [2]]`` for ``jsonb[]`` became the two
numbers. It sends some element types as text (citext, money, tsvector, hstore …). In their arrays an empty text shifts
the elements after it, or crashes the process (asyncpg 0.32, ``_write_textarray_data``).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: Dimensions, a flag for NULLs, and the elements' type; then the length of each dimension and its lower bound
#: (PostgreSQL source, ``array_send``).
_HEADER: Final = struct.Struct("!iiI")
_DIMENSION: Final = struct.Struct("!ii")
_LENGTH: Final = struct.Struct("!i")
_NULL: Final = _LENGTH.pack(-1)


class ListsAsElements:
    """Encode and decode arrays in the binary format, whose elements may be lists themselves, as those of ``json[]``.

    Args:
        oid: the elements' type.
        encode: returns an element's bytes.
        decode: returns the element for them.
    """

    def __init__(self, oid: int, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]) -> None:
        self._oid = oid
        self._encode = encode
        self._decode = decode

    def encode(self, value: Any) -> bytes:
        """Encode a one-dimensional array.

        Raises:
            TypeError: the value is not a list.
        """
        if not isinstance(value, list | tuple):
            raise TypeError(f"expected a list, got {type(value).__name__}")
        if not value:
            return _HEADER.pack(0, 0, self._oid)
        parts = [_HEADER.pack(1, int(None in value), self._oid), _DIMENSION.pack(len(value), 1)]
        for item in value:
            data = None if item is None else self._encode(item)
            parts.append(_NULL if data is None else _LENGTH.pack(len(data)) + data)
        return b"".join(parts)

    def decode(self, data: bytes) -> list[Any]:
        """Decode a one-dimensional array.

        Raises:
            ValueError: it has several dimensions: a nested list could then be an element or a dimension.
        """
        dimensions, _, _ = _HEADER.unpack_from(data)
        if dimensions == 0:
            return []
        if dimensions > 1:
            raise ValueError(f"the array has {dimensions} dimensions")
        length, _ = _DIMENSION.unpack_from(data, _HEADER.size)
        place, items = _HEADER.size + _DIMENSION.size, []
        for _ in range(length):
            (size,) = _LENGTH.unpack_from(data, place)
            place += _LENGTH.size
            items.append(None if size < 0 else self._decode(data[place : place + size]))
            place += max(size, 0)
        return items
