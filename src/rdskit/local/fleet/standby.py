"""Bringing a standby back: the cheapest way that works, until every commit is safe on it."""

from __future__ import annotations

import contextlib
import enum
import logging
import threading
from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.engines.waiting import poll
from rdskit.local.fleet.policy import REBUILD_AFTER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rdskit.local.engines.session import ServerSession
    from rdskit.local.fleet.instance import Instance
    from rdskit.local.fleet.node import Node

_log = logging.getLogger(__name__)

_INCOMPLETE: Final = "incomplete"  # a file beside data that cannot be started from
_PAUSE: Final = 5.0
_CATCH_UP: Final = 120.0
_SYNC: Final = 5.0
_LOCK_POLL: Final = 0.02
_JOIN: Final = 0.1


class Way(enum.Enum):
    """How a standby is brought back, the cheapest way first."""

    RESTART = "restart"
    REWIND = "rewind"
    CLONE = "clone"


_RESULTS: Final = {
    Way.RESTART: "was restarted",
    Way.REWIND: "has its primary's history again",
    Way.CLONE: "was copied anew",
}


class Restoration:
    """The background work that makes an instance's standby synchronous again; one at a time for an instance.

    Args:
        instance: whose standby.
        first: the cheapest way that may work.
        after: seconds to leave the machine to others before the work begins.
    """

    def __init__(self, instance: Instance, first: Way, *, after: float = 0.0) -> None:
        self._instance = instance
        self._after = after
        self._ways = list(Way)[list(Way).index(first) :]
        self._cancelled = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"rdskit-standby-{instance.resource_id}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def cancel(self) -> None:
        """End the work where it is and wait for it; the caller may hold the instance's lock."""
        self._cancelled.set()
        while self._thread.is_alive():
            if self._instance.standby is not None and not self._done.is_set():
                self._instance.standby.server.fence()  # a start that waits for WAL would wait on
            self._thread.join(_JOIN)

    def wait(self, timeout: float) -> bool:
        """Whether the standby was in sync within ``timeout`` seconds."""
        return self._done.wait(timeout)

    @property
    def active(self) -> bool:
        """Whether the work goes on."""
        return self._thread.is_alive()

    def _run(self) -> None:
        self._cancelled.wait(self._after)
        while not self._cancelled.is_set():
            if any(self._attempt(way) for way in self._ways):
                self._done.set()
                return
            self._ways = [Way.CLONE]
            self._cancelled.wait(_PAUSE)

    def _attempt(self, way: Way) -> bool:
        if self._cancelled.is_set():
            return False
        try:
            self._prepare(way)
            self._synchronise()
        except LocalError as error:
            _log.info("%s: standby not brought back by %s: %s", self._instance.resource_id, way.value, error)
            self._give_up()
            return False
        message = f"The standby {_RESULTS[way]} and is in sync with its primary"
        self._instance.context.report(self._instance.resource_id, "standby-rebuilt", message)
        return True

    def _prepare(self, way: Way) -> None:
        instance, node = self._instance, self._node()
        incomplete = node.server.data.parent / _INCOMPLETE
        if way is not Way.CLONE and (incomplete.exists() or not node.server.data.exists()):
            raise LocalError("its data are incomplete")
        if way is Way.RESTART and not node.server.is_standby:
            raise LocalError("it has been a primary")
        if way is not Way.RESTART:
            node.server.kill()
            incomplete.touch()
            self._copy(way, node)
            incomplete.unlink()
        with self._instance_lock():
            upstream = instance.upstream_of_standby
            node.server.configure(instance.translation.settings, upstream)
        node.server.stream(upstream)
        node.reset_health()

    def _copy(self, way: Way, node: Node) -> None:
        source = self._instance.primary.server
        if way is Way.REWIND:
            node.server.rewind(source)
        else:
            node.server.remove()
            node.server.clone(source)

    def _synchronise(self) -> None:
        """Have the primary wait for the standby, and make sure that it does."""
        instance, standby = self._instance, self._node().server
        with instance.primary.server.connect() as primary, standby.connect() as follower:
            self._until(lambda: standby.streams(follower), REBUILD_AFTER, "it does not stream")
            # From here on writers wait for the standby: only when it keeps up.
            self._until_received(follower, _CATCH_UP)
            with self._instance_lock():
                instance.hold_writers()
            with self._committing():
                self._until(lambda: instance.primary.server.commits_wait(primary), _SYNC, "no commit waits for it")
            self._until_received(follower, _SYNC)
        with self._instance_lock():
            self._node().open_promotion_session()
            instance.in_sync = True

    @contextlib.contextmanager
    def _committing(self) -> Iterator[None]:
        """Small commits, one after the other, so that there is always one that has to wait."""
        over = threading.Event()

        def write() -> None:
            server = self._instance.primary.server
            with contextlib.suppress(LocalError), server.open_writer() as writer:
                while not over.is_set():
                    server.heartbeat(writer, timeout=_SYNC)

        thread = threading.Thread(target=write, name=f"rdskit-commits-{self._instance.resource_id}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _until_received(self, follower: ServerSession, timeout: float) -> None:
        """Wait until the standby has on disk what the primary has now."""
        now, standby = self._instance.primary.server.position(), self._node().server
        self._until(lambda: standby.has_received(follower, now), timeout, "it lags")

    def _give_up(self) -> None:
        """Writers must not wait for a standby that does not come; whoever cancels sees to that himself."""
        with contextlib.suppress(LocalError), self._instance_lock():
            self._instance.release_writers()

    def _until(self, condition: Callable[[], bool], timeout: float, otherwise: str) -> None:
        if not poll(lambda: self._cancelled.is_set() or condition(), timeout=timeout, interval=0.01):
            raise LocalError(f"{otherwise} after {timeout:g} s: {self._node().server.log_excerpt()}")
        self._check()

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise LocalError("cancelled")

    def _node(self) -> Node:
        if self._instance.standby is None:
            raise LocalError("the instance has no standby any more")
        return self._instance.standby

    @contextlib.contextmanager
    def _instance_lock(self) -> Iterator[None]:
        """The instance's lock; gives up when cancelled, as whoever cancels holds it."""
        lock = self._instance.lock
        while not lock.acquire(timeout=_LOCK_POLL):
            self._check()
        try:
            self._check()
            yield
        finally:
            lock.release()
