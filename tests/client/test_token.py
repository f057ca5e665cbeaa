"""Tokens: what they say, and who may read them. Plain values."""

from __future__ import annotations

import base64
import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdskit.client.replicas import Tokens
from rdskit.client.replicas.history import History
from rdskit.client.replicas.token import Claim, cluster_digest, position_to_see, sign, verify
from rdskit.errors import ConfigError
from rdskit.kernel.positions import START, GtidPosition, GtidSet, Lsn, Position, Xid

KEY = b"0123456789abcdef"
OURS = cluster_digest("orders")
positions: st.SearchStrategy[Position | None] = st.one_of(
    st.none(),
    st.just(START),
    st.builds(Lsn, st.integers(0, 2**63), st.integers(1, 2**32 - 1)),
    st.builds(Xid, st.integers(3, 2**63)),
    st.dictionaries(st.integers(0, 9), st.tuples(st.integers(1, 9), st.integers(1, 2**40))).map(GtidPosition),
    st.dictionaries(
        st.uuids().map(str), st.lists(st.tuples(st.integers(1, 9), st.integers(10, 99)), min_size=1, max_size=3)
    ).map(GtidSet),
)


@given(positions, st.integers(0, 2**40))
def test_what_is_signed_can_be_read(position: Position | None, expires: int) -> None:
    claim = Claim(OURS, position, expires)
    token = sign(claim, KEY)
    assert re.fullmatch(r"[\w-]+", token, re.ASCII)
    read = verify(token, KEY)
    assert read == claim
    if position is not None and read.position is not None:
        assert read.position.history == position.history


@given(positions, st.data())
def test_whatever_is_changed_is_noticed(position: Position | None, data: st.DataObject) -> None:
    token = sign(Claim(OURS, position, 99), KEY)
    at = data.draw(st.integers(0, len(token) - 2))  # the last character may hold bits that do not count
    other = data.draw(st.sampled_from("abcXYZ019-_").filter(lambda letter: letter != token[at]))
    with pytest.raises(ConfigError, match="was not signed"):
        verify(token[:at] + other + token[at + 1 :], KEY)


@given(st.text(max_size=60))
def test_nonsense_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="was not signed"):
        verify(text, KEY)


def test_another_key_or_cluster_is_an_error_and_an_expired_token_asks_for_the_writer() -> None:
    claim = verify(sign(Claim(OURS, Lsn(7), 1000), KEY), KEY)
    assert position_to_see(claim, OURS, now=999.9) == Lsn(7)
    assert position_to_see(claim, OURS, now=1000) is None
    with pytest.raises(ConfigError, match="another cluster"):
        position_to_see(claim, cluster_digest("billing"), now=0)
    with pytest.raises(ConfigError, match="RDSKIT_TOKEN_KEY"):
        verify(sign(claim, KEY), b"another key here")


def test_without_a_key_tokens_hold_in_this_process_and_with_one_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RDSKIT_TOKEN_KEY", raising=False)
    mine = Tokens("orders", None).issue(Lsn(5))
    assert Tokens("orders", None).read(mine) == Lsn(5)
    with pytest.raises(ConfigError, match="was not signed"):
        Tokens("orders", "a key of sixteen").read(mine)
    monkeypatch.setenv("RDSKIT_TOKEN_KEY", "a key of sixteen")
    assert Tokens("orders", "a key of sixteen").read(Tokens("orders", None).issue(None)) is None
    with pytest.raises(ConfigError, match="at least 16"):
        Tokens("orders", "short")
    assert Tokens("orders", None).read(None) is START


def test_a_token_of_another_version_is_refused() -> None:
    payload = f"0|{OURS}|1000|lsn|0/7".encode()
    mac = hmac.digest(KEY, payload, "sha256")[:16]
    token = base64.urlsafe_b64encode(mac + payload).rstrip(b"=").decode()
    with pytest.raises(ConfigError, match="another version"):
        verify(token, KEY)


def test_a_position_of_another_history_cannot_be_told_and_has_the_writer_asked() -> None:
    history = History()
    assert not history.holds(Lsn(7, 1)), "before the writer was asked"
    assert not history.note(Lsn(9, 1))
    assert history.holds(Lsn(7, 1))
    assert not history.holds(Lsn(8, 2)), "of a timeline that begins with a failover that we have not noticed"
    assert history.is_open, "the writer is to be asked"
    assert history.note(Lsn(9, 2)), "so the writer is another one"
    assert history.holds(Lsn(8, 2))
    assert not history.holds(Lsn(7, 1)), "of before the failover"


def test_histories_of_the_mysql_family() -> None:
    history = History()
    history.note(GtidPosition.parse("0-1-5"))
    assert history.holds(GtidPosition.parse("0-1-4"))
    assert not history.holds(GtidPosition.parse("0-2-4"))
    assert history.holds(GtidSet.parse("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5")), "a set tells what it includes"
    assert not history.note(None), "it says no more than it did"
    assert history.holds(GtidPosition.parse("0-1-4"))


def test_a_position_of_before_a_cluster_was_moved_to_aurora_is_not_compared() -> None:
    history = History()
    assert not history.note(Xid(100))
    assert history.holds(Xid(90))
    assert not history.holds(Lsn(7, 1))
