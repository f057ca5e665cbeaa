"""State as data: a round trip keeps every value, and no text can name anything but data."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import random
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from rdskit.local.control.state.format import Special, StateFormatError, decode, encode

NOTHING = Special(lambda _: None, lambda texts: texts[0])


class Color(Enum):
    RED = "red"


class Node:
    """An object with any attributes."""

    calls: int = 0

    def __init__(self, **attributes: Any) -> None:
        type(self).calls += 1
        vars(self).update(attributes)

    def __setstate__(self, state: Any) -> None:
        raise AssertionError("no method is called")

    def __reduce__(self) -> Any:
        raise AssertionError("no method is called")


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    other: Node | None = None


class Names(dict[str, Any]):
    """A dictionary with attributes."""

    def __setitem__(self, key: str, value: Any) -> None:
        raise AssertionError("no method is called")


class Guarded:
    @property
    def code(self) -> int:
        return 1

    @code.setter
    def code(self, value: int) -> None:
        raise AssertionError(value)


CLASSES = {each.__name__: each for each in (Node, Point, Names, Color, Guarded)}


def again(owner: Node, fresh: Node | None = None) -> Node:
    """Encode an owner, and return a new one with the decoded attributes."""
    fresh = Node() if fresh is None else fresh
    decode(encode(owner, CLASSES, NOTHING), fresh, CLASSES, NOTHING)
    return fresh


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, -(2**80), 1.5, float("inf"), "", "\u2028\U0001f600", "\ud800", b"", b"\x00\xff"),
        *([], [1, [2]], {}, {"a": 1, 2: "b", (1, 2): 3, None: 4}, (), (1, (2,)), {1, 2}, frozenset({1})),
        dt.datetime(2026, 1, 31, 23, 59, 59, 999, tzinfo=dt.UTC),
        dt.datetime(2026, 1, 31),  # noqa: DTZ001 - the emulation's times have no zone
        *(dt.date(2026, 1, 31), dt.time(1, 2), dt.timedelta(-1, 5, 7), Decimal("1.10")),
        *(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_address("::1")),
        *(OrderedDict(b=1, a=2), Color.RED, Point(3), bytearray(b"x")),
    ],
    ids=repr,
)
def test_each_kind_of_value_comes_back(value: Any) -> None:
    found = again(Node(value=value)).value  # type: ignore[attr-defined]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_comes_back() -> None:
    assert again(Node(value=float("nan"))).value != 0  # type: ignore[attr-defined]


def test_shared_references_and_cycles_are_kept() -> None:
    shared: dict[str, Any] = {"n": 1}
    first, second = Node(shared=shared), Node(shared=shared)
    first.other, second.other = second, first  # type: ignore[attr-defined]
    owner = Node(one=first, all=[first, second], point=Point(1, first))
    owner.itself = owner.all  # type: ignore[attr-defined]
    found: Any = again(owner)
    assert found.one is found.all[0]
    assert found.one.other.other is found.one
    assert found.one.shared is found.one.other.shared
    assert found.itself is found.all
    assert found.point.other is found.one


def test_a_long_chain_needs_no_recursion() -> None:
    first = last = Node()
    for number in range(20_000):
        last.next = Node(number=number)  # type: ignore[attr-defined]
        last = last.next  # type: ignore[attr-defined]
    found: Any = again(Node(first=first)).first  # type: ignore[attr-defined]
    while hasattr(found, "next"):
        found = found.next
    assert found.number == 19_999


def test_subclasses_keep_items_and_attributes() -> None:
    names = Names(a=1)
    names.extra = [1]  # type: ignore[attr-defined]
    counts: defaultdict[str, list[int]] = defaultdict(list, a=[1])
    found: Any = again(Node(names=names, counts=counts))
    assert (dict(found.names), found.names.extra) == ({"a": 1}, [1])
    assert found.counts["missing"] == []


def test_the_owners_own_containers_are_filled_and_code_stays_out() -> None:
    fresh = Node(table=defaultdict(lambda: "own"), method=len, handlers={"a": len})
    view = fresh.view = {"same": fresh.table}  # type: ignore[attr-defined]
    saved = Node(table=defaultdict(lambda: "other", key="kept"), method=max, handlers={"a": max})
    text = encode(saved, CLASSES, NOTHING)
    assert "handlers" not in text
    decode(text, fresh, CLASSES, NOTHING)
    found: Any = fresh
    assert view["same"] is found.table
    assert (found.table["key"], found.table["missing"], found.method) == ("kept", "own", len)


class Table(Node):
    def look_up(self) -> str:
        return f"in {self.name}"  # type: ignore[attr-defined]


def test_a_method_that_an_object_keeps_is_bound_to_it_again() -> None:
    classes = {**CLASSES, "Table": Table}
    table = Table(name="a")
    table.filters = {"x": table.look_up}  # type: ignore[attr-defined]
    fresh: Any = Node()
    decode(encode(Node(table=table), classes, NOTHING), fresh, classes, NOTHING)
    assert fresh.table.filters["x"]() == "in a"
    assert fresh.table.filters["x"].__self__ is fresh.table
    for name in ("__class__", "__init_subclass__", "filters", "nonsense", 1, "mro"):
        forged = json.dumps({"root": {"a": ["method", ["ref", 0], name]}, "objects": [{"class": "Table", "state": {}}]})
        with pytest.raises(StateFormatError):
            decode(forged, Node(), classes, NOTHING)


class Unknown:
    pass


@pytest.mark.parametrize("value", [Unknown(), [Unknown()], {"a": (Unknown(),)}, object(), [print], [int], iter([])])
def test_an_unknown_class_is_an_error_that_names_its_place(value: Any) -> None:
    with pytest.raises(StateFormatError, match=r"deep.*not allowed"):
        encode(Node(deep=Node(value=value)), CLASSES, NOTHING)


@pytest.mark.parametrize(
    "objects",
    [
        [{"class": "os:system"}],
        [{"class": "builtins:eval", "items": []}],
        [{"class": "posix.system", "state": {"a": 1}}],
        [{"class": "subprocess.Popen", "state": {"pid": 1}}],
        [{"class": "argparse.Namespace", "state": {"a": 1}}],
        [{"class": "type"}],
        [{"class": "Color", "state": {}}],
        [{"class": "defaultdict", "factory": "eval", "items": []}],
        [{"class": "defaultdict", "factory": "own", "items": []}],
        [{"class": "dict", "items": [["a"]]}],
        [{"class": "dict", "items": [[["ref", 0], 1]]}],
        [{"class": "list", "items": [["ref", 7]]}],
        [{"class": "list", "items": [["ref", -1]]}],
        [{"class": "list", "items": [["ref", "__class__"]]}],
        [{"class": "list", "items": [["eval", "1"]]}],
        [{"class": "list", "items": [["enum", "Node", "calls"]]}],
        [{"class": "list", "items": [["enum", "Color", "__class__"]]}],
        [{"class": "list", "items": [["bytes", "!"]]}],
        [{"class": "list", "items": [["datetime", "now"]]}],
        [{"class": "list", "items": [{"class": "Node"}]}],
        [{"class": "list", "items": None}],
        [{"class": "Point", "state": {"nonsense": 1}}],
        [["class", "list"]],
        [None],
        "text",
        None,
    ],
    ids=json.dumps,
)
def test_a_forged_document_is_refused(objects: Any) -> None:
    text = json.dumps({"root": {"a": ["ref", 0]}, "objects": objects})
    with pytest.raises(StateFormatError):
        decode(text, Node(), CLASSES, NOTHING)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"root": {}}', "[" * 100_000, '{"root": 1, "objects": []}'])
def test_texts_that_are_not_documents_are_refused(text: str) -> None:
    with pytest.raises(StateFormatError):
        decode(text, Node(), CLASSES, NOTHING)


def test_no_code_of_a_class_runs() -> None:
    node = Node(value=1)
    before = Node.calls
    text = encode(Node(all=[node, Names(a=1)]), CLASSES, NOTHING)
    forged = json.dumps({"root": {"a": ["ref", 0]}, "objects": [{"class": "Guarded", "state": {"code": 7}}]})
    fresh = Node()
    decode(text, fresh, CLASSES, NOTHING)
    decode(forged, Node(), CLASSES, NOTHING)
    assert Node.calls == before + 3, "the owners alone"


def test_changed_documents_are_refused_or_describe_data() -> None:
    """Decode randomly changed documents: each raises `StateFormatError` or describes data."""
    chance = random.Random(11)
    text = encode(Node(a=[Node(b={"c": (1, b"x")}), Point(1)], d=dt.date(2026, 1, 1)), CLASSES, NOTHING)
    for _ in range(2000):
        at = chance.randrange(len(text))
        changed = text[:at] + chance.choice(("", "[", '"', "1", "ref", "}", "null", text[:at][-9:])) + text[at + 1 :]
        try:
            decode(changed, Node(), CLASSES, NOTHING)
        except StateFormatError:
            continue
