"""Delayed answers and the end of a backend: delivered in order, reported once, without busy waiting."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

from rdskit.local.endpoints.forwarding import Answers
from rdskit.local.endpoints.link_faults import LinkFaults
from rdskit.local.endpoints.model import Link
from rdskit.local.endpoints.relay import abort
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

LATE = 0.05  # seconds


class Way:
    """The direction from a backend to a client, both played by the test, with latency."""

    def __init__(self) -> None:
        self.backend, self.source = socket.socketpair()
        self.client, self.target = socket.socketpair()
        for each in (self.source, self.target, self.client):
            each.setblocking(False)
        self.passage = LinkFaults()
        self.passage.become(Link(latency=LATE))
        self.ended: list[bool] = []
        self.answers = Answers(asyncio.get_running_loop(), self.source, self.target, self._end, self.passage)

    def close(self) -> None:
        """Close both connections, as the other direction does when the client leaves."""
        if self.source.fileno() >= 0:
            self.answers.stop()
        for each in (self.source, self.target):
            each.close()

    async def has_ended(self) -> bool:
        return bool(self.ended)

    def _end(self, failed: bool) -> None:  # noqa: FBT001 - a callback's one argument
        self.ended.append(failed)
        self.close()


@contextlib.contextmanager
def way_of(answer: bytes) -> Iterator[Way]:
    """Return the direction from a backend that has answered and closed."""
    way = Way()
    way.backend.sendall(answer)
    way.backend.close()
    way.answers.start()
    try:
        yield way
    finally:
        way.close()
        way.client.close()


async def test_answers_before_the_end_are_delivered_and_the_end_is_reported_once() -> None:
    with way_of(b"late") as way:
        await eventually(way.has_ended)
        assert way.client.recv(100) == b"late"
        assert way.client.recv(100) == b""
        await asyncio.sleep(2 * LATE)
        assert way.ended == [False]


async def test_an_end_behind_a_black_hole_waits_without_asking_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, armed = asyncio.get_running_loop(), []

    def call_at(when: float, callback: Any, *args: Any) -> asyncio.TimerHandle:
        armed.append(callback)
        return really(when, callback, *args)

    really = loop.call_at
    with way_of(b"swallowed") as way:
        await asyncio.sleep(0)
        way.passage.become(Link(blackhole=True, latency=LATE))
        await asyncio.sleep(2 * LATE)
        monkeypatch.setattr(loop, "call_at", call_at)
        for _ in range(100):
            await asyncio.sleep(0)
        assert armed == []
        assert way.ended == []
        monkeypatch.undo()
        way.passage.become(Link())
        way.answers.resume()
        await eventually(way.has_ended)
        assert way.client.recv(100) == b"swallowed"


async def test_a_client_that_goes_before_late_answers_is_no_error() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    with way_of(b"too late") as way:
        for _ in range(10):  # the backend's end is seen in the next rounds of the loop
            await asyncio.sleep(0)
        way.close()
        await asyncio.sleep(2 * LATE)
    assert reported == []


def test_a_connection_that_is_closed_already_can_be_aborted() -> None:
    one, other = socket.socketpair()
    other.close()
    one.close()
    abort(one)
