"""Encode objects as JSON and decode them: data only, by an allow-list of classes, never code.

Decoding calls no constructor, no ``__setstate__`` and no function that the text names. It creates an empty object of an
allowed class and sets its attributes. So a text can only describe values; the nearest to code is the name of a method
of an object in the text. Shared references and cycles are kept.

A document is ``{"root": …, "objects": […]}``. A JSON list is a tagged value, such as ``["ref", 3]`` or ``["datetime",
"2026-01-31T23:59:59"]``. Every value with an identity is in ``objects``, and references name it by its number.

Containers that the owner's constructor created are filled, not replaced. So dictionaries keep their default factories,
and other references to them stay valid. An attribute that holds code (methods, classes, patterns) is not written.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import ipaddress
import json
import re
from collections import OrderedDict, defaultdict
from decimal import Decimal
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Special", "StateFormatError", "decode", "encode"]

#: Where a value was found: the path of its holder, and its name there. Only for messages of errors.
_Path = tuple["_Path | None", str]

_CODE: Final = (FunctionType, MethodType, BuiltinFunctionType, type, re.Pattern)
_FACTORIES: Final[Mapping[str, Callable[[], Any]]] = {
    each.__name__: each for each in (list, dict, set, int, float, str, OrderedDict)
}
_PLAIN: Final[Mapping[str, type]] = {
    "list": list,
    "dict": dict,
    "set": set,
    "OrderedDict": OrderedDict,
    "defaultdict": defaultdict,
    "bytearray": bytearray,
}
_ADDRESSES: Final[Mapping[str, Callable[[str], Any]]] = {
    each.__name__: each
    for each in (ipaddress.IPv4Address, ipaddress.IPv4Network, ipaddress.IPv6Address, ipaddress.IPv6Network)
}
_TIMES: Final[Mapping[str, Any]] = {"datetime": dt.datetime, "date": dt.date, "time": dt.time}
# By exact type: a datetime is a date too, and a subclass could hold more than its text says.
_SCALARS: Final[Mapping[type, Callable[[Any], tuple[str, ...]]]] = {
    float: lambda value: (repr(value),),  # JSON has no NaN and no infinity
    bytes: lambda value: (base64.b64encode(value).decode(),),
    dt.datetime: lambda value: (value.isoformat(),),
    dt.date: lambda value: (value.isoformat(),),
    dt.time: lambda value: (value.isoformat(),),
    dt.timedelta: lambda value: (str(value.days), str(value.seconds), str(value.microseconds)),
    Decimal: lambda value: (str(value),),
    **{each: lambda value: (str(value),) for each in _ADDRESSES.values() if isinstance(each, type)},
}


class StateFormatError(Exception):
    """A value that cannot be encoded, or a document that cannot be decoded."""


class Special:
    """The encoding of values that are neither plain nor of an allowed class, as lists of texts.

    Args:
        write: returns the texts of a value, or None if the value is not special.
        read: returns the value of the texts.
    """

    def __init__(self, write: Callable[[Any], list[str] | None], read: Callable[[list[str]], Any]) -> None:
        self.write = write
        self.read = read


def encode(owner: object, classes: Mapping[str, type], special: Special) -> str:
    """Return the attributes of an object as a document.

    Args:
        owner: the object whose attributes to write.
        classes: the allowed classes, by the name that is written.
        special: encoding of other values.

    Raises:
        StateFormatError: an attribute holds a value that is not allowed; the message has the path to it.
    """
    return _Encoder(classes, special).document(owner)


def decode(text: str, owner: object, classes: Mapping[str, type], special: Special) -> None:
    """Set the attributes of an object from a document. After an error the object must not be used.

    Args:
        text: the document.
        owner: the object as its constructor made it.
        classes: the allowed classes, by the name that is written.
        special: encoding of other values.

    Raises:
        StateFormatError: the text is not a document, or names something that is not allowed.
    """
    try:
        document = json.loads(text)
        _Decoder(document, classes, special).fill(owner)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError) as error:
        raise StateFormatError(f"{type(error).__name__}: {error}") from error


class _Encoder:
    """Writes objects in the order in which it finds them, without recursion: chains of references may be long."""

    def __init__(self, classes: Mapping[str, type], special: Special) -> None:
        self._names = {each: name for name, each in classes.items()}
        self._special = special
        self._numbers: dict[int, int] = {}
        self._met: list[tuple[Any, _Path]] = []  # also keeps the objects alive, so that no id() is reused

    def document(self, owner: object) -> str:
        root = {name: self._value(value, (None, name)) for name, value in vars(owner).items() if not _is_code(value)}
        # Writing an object may append further ones to self._met.
        objects: list[Any] = []
        while len(objects) < len(self._met):
            objects.append(self._object(*self._met[len(objects)]))
        return json.dumps({"root": root, "objects": objects}, separators=(",", ":"))

    def _value(self, value: Any, path: _Path) -> Any:
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        # Immutable values have no identity that matters: they are written where they stand.
        if kind in (tuple, frozenset):
            return [kind.__name__, *(self._value(each, path) for each in value)]
        if (texts := _scalar(value) or self._tagged(value, path)) is not None:
            return texts
        number = self._numbers.setdefault(id(value), len(self._met))
        if number == len(self._met):
            self._met.append((value, path))
        return ["ref", number]

    def _tagged(self, value: Any, path: _Path) -> list[Any] | None:
        kind = type(value)
        if (texts := self._special.write(value)) is not None:
            return ["special", *texts]
        if isinstance(value, Enum) and kind in self._names:
            return ["enum", self._names[kind], value.name]
        if kind is MethodType and _method(value.__self__, value.__name__) == value:
            return ["method", self._value(value.__self__, path), value.__name__]
        return None

    def _object(self, value: Any, path: _Path) -> dict[str, Any]:
        kind = type(value)
        name = kind.__name__ if _PLAIN.get(kind.__name__) is kind else self._names.get(kind)
        if name is None:
            raise StateFormatError(
                f"{_shown(path)} holds a {kind.__module__}.{kind.__qualname__}, which is not allowed"
            )
        written: dict[str, Any] = {"class": name}
        if isinstance(value, bytearray):
            written["items"] = base64.b64encode(value).decode()
        elif isinstance(value, dict):
            if isinstance(value, defaultdict):
                written["factory"] = _factory(value, path)
            written["items"] = [
                [self._value(key, path), self._value(each, (path, repr(key)))] for key, each in dict.items(value)
            ]
        elif isinstance(value, (list, set)):
            written["items"] = [self._value(each, (path, str(index))) for index, each in enumerate(value)]
        if kind not in _PLAIN.values():
            written["state"] = {each: self._value(held, (path, each)) for each, held in _attributes(value)}
        return written


class _Decoder:
    def __init__(self, document: Any, classes: Mapping[str, type], special: Special) -> None:
        if not isinstance(document, dict) or set(document) != {"root", "objects"}:
            raise StateFormatError("it has no root and objects")
        self._root, self._texts = document["root"], document["objects"]
        self._classes = classes
        self._made: list[Any] = []
        self._readers: Mapping[Any, Callable[..., Any]] = {
            "ref": self._referred,
            "tuple": lambda *items: tuple(map(self._value, items)),
            "frozenset": lambda *items: frozenset(map(self._value, items)),
            "special": lambda *texts: special.read(list(texts)),
            "enum": self._member,
            "method": lambda holder, name: _method(self._value(holder), name),
        }

    def fill(self, owner: Any) -> None:
        # Shells first: then references can be resolved in any order, cycles included.
        own = vars(owner)
        reused = {
            written[1]: own[name]
            for name, written in self._root.items()
            if _is_ref(written) and name in own and self._suits(own[name], self._texts[written[1]])
        }
        self._made = [reused[n] if n in reused else self._shell(text) for n, text in enumerate(self._texts)]
        plan = [self._read(made, text) for made, text in zip(self._made, self._texts, strict=True)]
        root = {name: self._value(written) for name, written in self._root.items()}
        # Everything is read before anything changes. Attributes come before items: an object in a set may need them for
        # its hash.
        for made, _, state in plan:
            _set_attributes(made, state)
        for made, items, _ in plan:
            _refill(made, items)
        own.update(root)

    def _suits(self, value: Any, text: Any) -> bool:
        return not isinstance(value, (type(None), *_CODE)) and type(value) is self._class_of(text)

    def _class_of(self, text: Any) -> type:
        name = text["class"]
        found = _PLAIN.get(name) or self._classes.get(name)
        if found is None:
            raise StateFormatError(f"the class {name!r} is not allowed")
        return found

    def _shell(self, text: Any) -> Any:
        kind: Any = self._class_of(text)
        # No __init__: it could do anything, and would need arguments.
        made = kind.__new__(kind)
        if isinstance(made, defaultdict):
            name = text["factory"]
            made.default_factory = None if name is None else _FACTORIES[name]
        return made

    def _read(self, made: Any, text: Any) -> tuple[Any, Any, dict[str, Any]]:
        state = {name: self._value(written) for name, written in text.get("state", {}).items()}
        items = text.get("items")
        if isinstance(made, bytearray):
            return made, base64.b64decode(items, validate=True), state
        if isinstance(made, dict):
            return made, [(self._value(key), self._value(value)) for key, value in items], state
        if isinstance(made, (list, set)):
            return made, [self._value(each) for each in items], state
        return made, None, state

    def _value(self, written: Any) -> Any:
        if not isinstance(written, list):
            if isinstance(written, dict):
                raise StateFormatError("an object stands where a value is due")
            return written
        tag, *rest = written
        read = self._readers.get(tag)
        return _scalar_of(tag, rest) if read is None else read(*rest)

    def _referred(self, number: Any) -> Any:
        if not isinstance(number, int) or not 0 <= number < len(self._made):
            raise StateFormatError(f"there is no object {number!r}")
        return self._made[number]

    def _member(self, name: Any, member: Any) -> Enum:
        kind = self._classes[name]
        if not issubclass(kind, Enum):
            raise StateFormatError(f"{name!r} is no enumeration")
        return kind[member]


def _shown(path: _Path | None) -> str:
    names = []
    while path is not None:
        path, name = path
        names.append(name)
    return ".".join(reversed(names))


def _factory(value: defaultdict[Any, Any], path: _Path) -> str | None:
    """Return the name of a default factory; ``own`` for the container of an owner, which keeps its factory."""
    factory = value.default_factory
    name = getattr(factory, "__name__", "")
    if factory is None or _FACTORIES.get(name) is factory:
        return name or None
    if path[0] is None:
        return "own"
    raise StateFormatError(f"{_shown(path)} has the default factory {name or factory!r}, which is not allowed")


def _method(holder: Any, name: str) -> MethodType:
    """Return a method of an object as its class defines it; some objects of moto store own methods in a table."""
    # vars() of the classes, not getattr(): an attribute of the object, which the document sets, cannot take the place.
    for kind in type(holder).__mro__:
        function = vars(kind).get(name)
        if isinstance(function, FunctionType) and kind.__module__ == function.__module__ != "builtins":
            return MethodType(function, holder)
    raise StateFormatError(f"a {type(holder).__name__} has no method {name!r}")


def _is_ref(written: Any) -> bool:
    return isinstance(written, list) and written[:1] == ["ref"]


def _is_code(value: Any) -> bool:
    """Return whether an attribute holds code, or a dictionary with code in its values or keys."""
    if isinstance(value, _CODE):
        return True
    return isinstance(value, dict) and any(isinstance(each, _CODE) for pair in dict.items(value) for each in pair)


def _slots(kind: type) -> Iterator[str]:
    for each in kind.__mro__:
        slots = each.__dict__.get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        yield from (name for name in names if name not in ("__dict__", "__weakref__"))


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(value, "__dict__", {}).items()
    yield from ((name, getattr(value, name)) for name in _slots(type(value)) if hasattr(value, name))


def _set_attributes(made: Any, state: Mapping[str, Any]) -> None:
    """Set attributes where they are stored, without calling a property or a ``__setattr__`` of the class."""
    slots = set(_slots(type(made)))
    for name, value in state.items():
        if name in slots:
            object.__setattr__(made, name, value)
        else:
            vars(made)[name] = value


def _refill(made: Any, items: Any) -> None:
    # Methods of the builtin classes, unbound: subclasses may override them.
    if isinstance(made, OrderedDict):
        OrderedDict.clear(made)
        for key, value in items:
            OrderedDict.__setitem__(made, key, value)
    elif isinstance(made, dict):
        dict.clear(made)
        dict.update(made, items)
    elif isinstance(made, set):
        made.clear()
        made.update(items)
    elif isinstance(made, (list, bytearray)):
        made[:] = items


def _scalar(value: Any) -> list[str] | None:
    write = _SCALARS.get(type(value))
    return None if write is None else [type(value).__name__, *write(value)]


def _scalar_of(tag: Any, rest: list[Any]) -> Any:
    (text, *more) = rest
    if tag == "float":
        return float(text)
    if tag == "bytes":
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise StateFormatError(f"damaged bytes: {error}") from error
    if tag in _TIMES:
        return _TIMES[tag].fromisoformat(text)
    if tag == "timedelta":
        seconds, microseconds = more
        return dt.timedelta(int(text), int(seconds), int(microseconds))
    if tag == "Decimal":
        return Decimal(text)
    if tag in _ADDRESSES:
        return _ADDRESSES[tag](text)
    raise StateFormatError(f"there is no kind of value {tag!r}")
