"""The search for a host: whom it asks, which logins it tries, and when it gives up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

import rdskit
from rdskit.client.database.refusals import Refusal, Refused, hosts_for
from rdskit.client.database.search import log_in, patiently
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.ports import Login
from rdskit.kernel.topology import Host, Role, Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")
HOST = Endpoint("w", 1)
WRITER = Host("w", HOST, Role.WRITER)
READERS = tuple(Host(name, Endpoint(name, 1), Role.READER) for name in ("r1", "r2", "r3"))
LOGINS = [Login("app", "the former password"), Login("app", "the next password")]


class Waits:
    """Waits for nothing, and remembers how often it was asked to."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def run(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run(begin())

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


class Stored:
    """Credentials that have a second login once the first was refused."""

    rotates = False

    async def login(self, endpoint: Endpoint, *, refused: Login | None = None) -> Login:
        assert endpoint == HOST
        return LOGINS[0] if refused is None else LOGINS[1]


def refusing(refusal: Refusal, *good: Login) -> tuple[list[Login], Callable[[Login], str]]:
    """What opens connections with some logins, and the list of those that it was given."""
    tried: list[Login] = []

    def opening(login: Login) -> str:
        tried.append(login)
        if login in good:
            return "connected"
        raise Refused(refusal, rdskit.ConnectError("no"))

    return tried, opening


def test_readers_take_turns_and_the_writer_is_the_last_resort() -> None:
    topology = Topology((WRITER, *READERS))
    assert [hosts_for(Role.READER, topology, turn)[0] for turn in range(4)] == [*READERS, READERS[0]]
    assert hosts_for(Role.READER, topology, 1) == (READERS[1], READERS[2], READERS[0], WRITER)
    assert hosts_for(Role.READER, Topology((WRITER,)), 5) == (WRITER,)
    assert hosts_for(Role.WRITER, topology, 7) == (WRITER,)
    assert hosts_for(Role.WRITER, Topology(READERS[:1]), 0) == ()


def test_a_refused_login_is_followed_by_the_next_one() -> None:
    tried, opening = refusing(Refusal.LOGIN, LOGINS[1])
    assert log_in(opening, Stored(), HOST, 5.0, Waits()) == "connected"
    assert tried == LOGINS


def test_where_there_is_no_other_login_the_refusal_is_final() -> None:
    tried, opening = refusing(Refusal.LOGIN)
    with pytest.raises(Refused):
        log_in(opening, Stored(), HOST, 5.0, Waits())
    assert tried == LOGINS


def test_another_login_opens_no_host_that_is_away() -> None:
    tried, opening = refusing(Refusal.AWAY)
    with pytest.raises(Refused):
        log_in(opening, Stored(), HOST, 5.0, Waits())
    assert tried == LOGINS[:1]


def test_a_host_that_is_away_is_looked_for_anew() -> None:
    told: list[bool] = []

    def attempt(again: bool) -> str:  # noqa: FBT001 - as it is called
        told.append(again)
        if len(told) < 3:
            raise Refused(Refusal.AWAY, rdskit.NoWriterError("not yet"))
        return "connected"

    waits = Waits()
    assert patiently(attempt, 60.0, waits) == "connected"
    assert told == [False, True, True]
    assert len(waits.pauses) == 2


@pytest.mark.parametrize(("refusal", "timeout"), [(Refusal.FINAL, 60.0), (Refusal.LOGIN, 60.0), (Refusal.AWAY, 0.0)])
def test_patience_ends(refusal: Refusal, timeout: float) -> None:
    waits = Waits()

    def attempt(_: bool) -> str:  # noqa: FBT001 - as it is called
        raise Refused(refusal, rdskit.ConnectError("no"))

    with pytest.raises(Refused):
        patiently(attempt, timeout, waits)
    assert waits.pauses == []
