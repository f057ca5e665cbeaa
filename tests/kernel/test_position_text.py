"""Positions as text and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdskit.errors import ConfigError
from rdskit.kernel.position_text import position_from_text, position_to_text
from rdskit.kernel.positions import START, GtidPosition, GtidSet, Lsn, Position, Xid

POSITIONS: st.SearchStrategy[Position] = st.one_of(
    st.just(START),
    st.builds(Lsn, st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)),
    st.builds(Xid, st.integers(3, 2**64 - 1)),
    st.dictionaries(st.integers(0, 9), st.tuples(st.integers(1, 9), st.integers(1, 2**40))).map(GtidPosition),
    st.dictionaries(
        st.uuids().map(str), st.lists(st.tuples(st.integers(1, 9), st.integers(10, 99)), min_size=1, max_size=3)
    ).map(GtidSet),
)


@given(POSITIONS)
def test_a_position_is_read_back_with_its_history(position: Position) -> None:
    read = position_from_text(position_to_text(position))
    assert (type(read), read, read.history) == (type(position), position, position.history)


def test_the_form_is_fixed() -> None:
    assert position_to_text(Lsn.parse("0/16B3748", 3)) == "wal:3@0/16B3748"
    assert position_to_text(Xid(812)) == "xid:812"
    assert position_to_text(GtidPosition.parse("0-1-5")) == "gtid:0-1-5"
    assert position_to_text(START) == "start:"


@pytest.mark.parametrize(
    "text", ["", "wal", "wal:1", "wal:a@0/1", "wal:1@0/1@2", "lsn:0/1", "xid:", "gtid:0-1", "gtids:x:"]
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a position: pass a text from"):
        position_from_text(text)
