"""Positions: their text survives, ``covers`` is a partial order, ``merge`` its least upper bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdskit.kernel.positions import START, GtidPosition, GtidSet, Lsn, Position, Xid

SEGMENT = 16 * 1024 * 1024
UUIDS = ("3e11fa47-71ca-11e1-9e33-c80aa9429562", "3e11fa47-71ca-11e1-9e33-c80aa9429563")

lsns = st.integers(0, 2**64 - 1).map(Lsn)
xids = st.integers(3, 2**64 - 1).map(Xid)
mariadb = st.dictionaries(st.integers(0, 3), st.tuples(st.integers(1, 3), st.integers(1, 9)), max_size=3).map(
    GtidPosition
)
numbers = st.tuples(st.integers(1, 20), st.integers(0, 5)).map(lambda pair: (pair[0], pair[0] + pair[1]))
sources = st.sampled_from([*UUIDS, f"{UUIDS[0]}:blue", f"{UUIDS[1]}:blue_2"])
mysql = st.dictionaries(sources, st.lists(numbers, max_size=4), max_size=4).map(GtidSet)
threes = st.one_of(*(st.tuples(each, each, each) for each in (lsns, xids, mariadb, mysql)))


@given(st.one_of(lsns, xids, mariadb, mysql))
def test_a_position_survives_its_text(position: Lsn | Xid | GtidPosition | GtidSet) -> None:
    assert type(position).parse(str(position)) == position
    assert hash(type(position).parse(str(position))) == hash(position)


@given(threes)
def test_covers_is_a_partial_order(three: tuple[Position, Position, Position]) -> None:
    one, two, other = three
    assert one.covers(one)
    assert one.covers(START)
    if one.covers(two) and two.covers(other):
        assert one.covers(other)
    if one.covers(two) and two.covers(one):
        assert one == two


@given(threes)
def test_merge_is_the_least_upper_bound(three: tuple[Position, Position, Position]) -> None:
    one, two, other = three
    merged = one.merge(two)
    assert merged.covers(one)
    assert merged.covers(two)
    assert merged == two.merge(one)
    if other.covers(one) and other.covers(two):
        assert other.covers(merged)
    assert one.merge(two).merge(other) == one.merge(two.merge(other))
    assert START.merge(one) == one == one.merge(START)


@given(mysql, mysql)
def test_a_gtid_set_is_the_set_of_its_transactions(one: GtidSet, two: GtidSet) -> None:
    def transactions(text: str) -> set[tuple[str, int]]:
        found = set()
        for entry in text.split(",") if text else ():
            source, _, parts = entry.rpartition(":") if entry.count(":") == 1 else _split(entry)
            for part in parts.split(":"):
                first, _, last = part.partition("-")
                found |= {(source, number) for number in range(int(first), int(last or first) + 1)}
        return found

    def _split(entry: str) -> tuple[str, str, str]:
        words = entry.split(":")
        at = 2 if not words[1][0].isdigit() else 1
        return ":".join(words[:at]), ":", ":".join(words[at:])

    first, second = transactions(str(one)), transactions(str(two))
    assert one.covers(two) == (second <= first)
    assert transactions(str(one.merge(two))) == first | second


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        (f"{UUIDS[0].upper()}:1-5:6:8,\n{UUIDS[1]}:1", f"{UUIDS[0]}:1-6:8,{UUIDS[1]}:1"),
        (f"{UUIDS[0]}:1-3:blue:1-2:5:green:7", f"{UUIDS[0]}:1-3,{UUIDS[0]}:blue:1-2:5,{UUIDS[0]}:green:7"),
    ],
)
def test_what_a_mysql_server_prints_is_read(text: str, shown: str) -> None:
    assert str(GtidSet.parse(text)) == shown


def test_what_a_mariadb_server_prints_is_read() -> None:
    position = GtidPosition.parse("0-1-42,1-2-7")
    assert position.covers(GtidPosition.parse("0-9-42"))
    assert not position.covers(GtidPosition.parse("2-1-1"))
    assert str(position.merge(GtidPosition.parse("0-2-43"))) == "0-2-43,1-2-7"
    assert str(GtidPosition.parse("")) == ""


def test_positions_of_different_engines_are_not_compared() -> None:
    with pytest.raises(TypeError, match="different engines"):
        Lsn(7).covers(GtidSet({}))
    with pytest.raises(TypeError, match="different engines"):
        GtidPosition({}).merge(GtidSet({}))


@given(st.integers(0, 2**48))
def test_a_normalised_position_is_at_most_a_header_earlier_and_stays(position: int) -> None:
    normal = Lsn(position).normalized()
    assert 0 <= position - normal <= 40
    assert normal.normalized() == normal


def test_positions_behind_a_header_move_to_its_front() -> None:
    assert Lsn(5 * SEGMENT + 40).normalized() == 5 * SEGMENT
    assert Lsn(5 * SEGMENT + 8192 + 24).normalized() == 5 * SEGMENT + 8192
    assert Lsn(5 * SEGMENT + 8192 + 25).normalized() == 5 * SEGMENT + 8192 + 25


def test_a_later_timeline_holds_what_is_left_of_the_earlier_one() -> None:
    lost, after = Lsn(900, 1), Lsn(500, 2)
    assert lost.merge(after) is after
    assert after.merge(lost) is after
    assert after.history == "2"
    assert Lsn.parse("0/1", 3).normalized().history == "3"
