"""Encode and decode PostgreSQL's arrays as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Convert = Callable[[Any], Any]

_SPECIAL: Final = re.compile(r'(["\\])')
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class TextArray:
    """Encode and decode arrays in the text format (PostgreSQL manual, "Array Input and Output Syntax").

    Args:
        delimiter: the separator of two elements.
        encode: returns an element's text.
        decode: returns the element for it.
    """

    def __init__(self, delimiter: str, encode: Convert, decode: Convert) -> None:
        self._delimiter = delimiter
        self._encode = encode
        self._decode = decode
        plain = rf"[^{{}}\"{re.escape(delimiter)}]+"
        self._token = re.compile(rf'"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>{plain})|(?P<mark>.)', re.DOTALL)

    def encode(self, value: Any) -> str:
        """Encode an array; a list within a list is another dimension.

        Raises:
            TypeError: the value is not a list, or an element has no text.
        """
        if not isinstance(value, list | tuple):
            raise TypeError(f"expected a list, got {type(value).__name__}")
        return "{" + self._delimiter.join(map(self._element, value)) + "}"

    def _element(self, item: Any) -> str:
        if item is None:
            return "NULL"
        if isinstance(item, list):
            return self.encode(item)
        text = self._encode(item)
        if not isinstance(text, str):
            raise TypeError(f"expected a list of str, got {type(item).__name__}")
        return '"' + _SPECIAL.sub(r"\\\1", text) + '"'

    def decode(self, text: str) -> list[Any]:
        """Decode an array; its lower bounds, which come before the brace, are dropped."""
        begin = text.index("{")
        return self._items(self._token.finditer(text, begin + 1))

    def _items(self, tokens: Iterator[re.Match[str]]) -> list[Any]:
        items: list[Any] = []
        for found in tokens:
            if found["mark"] == "}":
                break
            if found["mark"] == "{":
                items.append(self._items(tokens))
            elif found["plain"] is not None:
                items.append(None if found["plain"] == "NULL" else self._decode(found["plain"]))
            elif found["quoted"] is not None:
                items.append(self._decode(_ESCAPED.sub(r"\1", found["quoted"])))
        return items
