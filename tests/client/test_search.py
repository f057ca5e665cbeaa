"""The search for a host: which hosts it asks, which logins it tries, and when it gives up."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

import rdskit
from rdskit.client.credentials import log_in, log_in_here
from rdskit.client.credentials.attempts import GiveUp, Pause, Reply, Try, login_steps
from rdskit.client.targets.policy import hosts_for
from rdskit.client.targets.search import retry_while_away
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError, Login
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


REFUSED = DriverError(Failure.REFUSED, rdskit.AuthenticationError("no"))
AWAY = DriverError(Failure.LOST, rdskit.NoWriterError("not yet"))
FINAL = DriverError(Failure.REFUSED, rdskit.ConnectError("no"))


def refusing(error: DriverError, *good: Login) -> tuple[list[Login], Callable[[Login], str]]:
    """Return what opens connections with some logins, and the list of those that it is given."""
    tried: list[Login] = []

    def opening(login: Login) -> str:
        tried.append(login)
        if login in good:
            return "connected"
        raise error

    return tried, opening


def test_readers_take_turns_and_the_writer_is_the_last_resort() -> None:
    topology = Topology((WRITER, *READERS))
    assert [hosts_for(Role.READER, topology, turn)[0] for turn in range(4)] == [*READERS, READERS[0]]
    assert hosts_for(Role.READER, topology, 1) == (READERS[1], READERS[2], READERS[0], WRITER)
    assert hosts_for(Role.READER, Topology((WRITER,)), 5) == (WRITER,)
    assert hosts_for(Role.WRITER, topology, 7) == (WRITER,)
    assert hosts_for(Role.WRITER, Topology(READERS[:1]), 0) == ()


def test_a_refused_login_is_followed_by_the_next_one() -> None:
    tried, opening = refusing(REFUSED, LOGINS[1])
    assert log_in_here(opening, Stored(), HOST, 5.0, Waits()) == "connected"
    assert tried == LOGINS


async def test_on_an_event_loop_a_refused_login_is_followed_by_the_next_one() -> None:
    tried, opening = refusing(REFUSED, LOGINS[1])

    async def connect(login: Login) -> str:
        return opening(login)

    assert await log_in(connect, Stored(), HOST, 5.0) == ("connected", (LOGINS[1], 1))
    assert tried == LOGINS


def test_where_there_is_no_other_login_the_refusal_is_final() -> None:
    tried, opening = refusing(REFUSED)
    with pytest.raises(DriverError):
        log_in_here(opening, Stored(), HOST, 5.0, Waits())
    assert tried == LOGINS


def test_credentials_that_rotate_are_asked_until_the_limit() -> None:
    now, pauses = 0.0, []
    steps = login_steps(5.0, rotate=True)
    step = next(steps)
    while not isinstance(step, GiveUp):
        if isinstance(step, Pause):
            pauses.append(step.seconds)
            now += step.seconds
        step = steps.send(Reply(now, LOGINS[0], refused=isinstance(step, Try)))
    assert now <= 5.0 < now + pauses[-1]
    assert pauses == sorted(pauses)


async def test_an_error_is_gone_once_it_was_handled() -> None:
    """A cycle of the error and its traceback would keep sockets and rows until the garbage collector runs."""
    _, opening = refusing(REFUSED)

    async def connect(_login: Login) -> str:
        raise DriverError(Failure.LOST, rdskit.ConnectError("away"))

    async def refuse(login: Login) -> str:
        return opening(login)

    gc.collect()
    gc.disable()
    try:
        for attempt in (connect, refuse):
            error: weakref.ref[DriverError] | None = None
            try:
                await log_in(attempt, Stored(), HOST, 5.0)
            except DriverError as failed:
                error = weakref.ref(failed)
            assert error is not None
            assert error() is None
    finally:
        gc.enable()


def test_another_login_opens_no_host_that_is_away() -> None:
    tried, opening = refusing(AWAY)
    with pytest.raises(DriverError):
        log_in_here(opening, Stored(), HOST, 5.0, Waits())
    assert tried == LOGINS[:1]


def test_a_host_that_is_away_is_tried_again_while_there_is_time() -> None:
    left: list[float] = []

    def attempt(seconds: float) -> str:
        left.append(seconds)
        if len(left) < 3:
            raise AWAY
        return "connected"

    waits = Waits()
    assert retry_while_away(attempt, 60.0, waits) == "connected"
    assert left[0] == 60.0
    assert left == sorted(left, reverse=True)
    assert len(waits.pauses) == 2


@pytest.mark.parametrize(("error", "timeout"), [(FINAL, 60.0), (REFUSED, 60.0), (AWAY, 0.0)])
def test_patience_ends(error: DriverError, timeout: float) -> None:
    waits = Waits()

    def attempt(_left: float) -> str:
        raise error

    with pytest.raises(DriverError):
        retry_while_away(attempt, timeout, waits)
    assert waits.pauses == []
