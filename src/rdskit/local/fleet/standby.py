"""Bring a standby back in sync by the cheapest way that works."""

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

# Marker file beside a data directory whose copy has begun and not finished. It survives a crash of the daemon.
_INCOMPLETE: Final = "incomplete"
_PAUSE: Final = 5.0  # seconds between attempts; each copies the whole database
_CATCH_UP: Final = 120.0  # seconds for the backlog since the copy, while commits do not wait yet
_SYNC: Final = 5.0  # seconds for the last few changes, while commits do wait: keep it short
_LOCK_POLL: Final = 0.02
_JOIN: Final = 0.1


class Way(enum.Enum):
    """Ways to bring a standby back, the cheapest first."""

    RESTART = "restart"
    REWIND = "rewind"
    CLONE = "clone"


_RESULTS: Final = {
    Way.RESTART: "was restarted",
    Way.REWIND: "has its primary's history again",
    Way.CLONE: "was copied again",
}


class Restoration:
    """Background work that makes an instance's standby synchronous again. One at a time for an instance.

    It acquires the instance's lock for short steps only. While a copy runs, operations and failovers can go on.

    Args:
        instance: instance of the standby.
        first: cheapest way that may work.
        after: seconds before the work begins.
    """

    def __init__(self, instance: Instance, first: Way, *, after: float = 0.0) -> None:
        self._instance = instance
        self._after = after
        self._ways = list(Way)[list(Way).index(first) :]
        self._cancelled = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"rdskit-standby-{instance.resource_id}", daemon=True)

    def start(self) -> None:
        """Start the background thread."""
        self._thread.start()

    def cancel(self) -> None:
        """Stop the work and wait until it has ended. The caller may hold the instance's lock."""
        self._cancelled.set()
        while self._thread.is_alive():
            if self._instance.standby is not None and not self._done.is_set():
                # A standby start can wait for WAL for a long time. Killing the server ends that wait.
                self._instance.standby.server.fence()
            self._thread.join(_JOIN)

    def wait(self, timeout: float) -> bool:
        """Return whether the standby was in sync within ``timeout`` seconds."""
        return self._done.wait(timeout)

    @property
    def active(self) -> bool:
        """Whether the work is still running."""
        return self._thread.is_alive()

    def _run(self) -> None:
        """Try the ways in order; after all have failed, copy again and again with a pause."""
        self._cancelled.wait(self._after)
        while not self._cancelled.is_set():
            if any(self._attempt(way) for way in self._ways):
                self._done.set()
                return
            self._ways = [Way.CLONE]
            self._cancelled.wait(_PAUSE)

    def _attempt(self, way: Way) -> bool:
        """Return whether one way brought the standby in sync."""
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
        # pg_rewind and a plain start both need a complete data directory. After an interrupted copy it may look
        # complete.
        if way is not Way.CLONE and (incomplete.exists() or not node.server.data.exists()):
            raise LocalError("its data are incomplete")
        # A former primary may have commits that its standby never got. Started as it is, it would keep them.
        if way is Way.RESTART and not node.server.is_standby:
            raise LocalError("it has been a primary")
        if way is not Way.RESTART:
            # Nothing may use the data directory while it is replaced.
            node.server.kill()
            incomplete.touch()
            self._copy(way, node)
            incomplete.unlink()
        # The configuration names the primary of the moment, so no failover may change the roles in between.
        with self._instance_lock():
            upstream = instance.upstream_of_standby
            node.server.configure(instance.translation.settings, upstream)
        node.server.stream(upstream)
        node.reset_health()

    def _copy(self, way: Way, node: Node) -> None:
        # Read without the lock: no failover changes the primary while its standby is out of sync.
        source = self._instance.primary.server
        if way is Way.REWIND:
            node.server.rewind(source)
        else:
            node.server.remove()
            node.server.clone(source)

    def _synchronise(self) -> None:
        """Make commits wait for the standby, prove that they do, then mark it as in sync.

        The order is the proof. First the standby catches up without commits waiting. Then the primary is configured to
        wait, and a commit is observed to wait. Every commit before that one is received last. From then on the standby
        has every acknowledged commit, so only then may a failover promote it.
        """
        instance, standby = self._instance, self._node().server
        with instance.primary.server.connect() as primary, standby.connect() as follower:
            self._until(lambda: standby.streams(follower), REBUILD_AFTER, "it does not stream")
            # Catch up first: commits that wait for a standby with a backlog would stall every writer.
            self._until_received(follower, _CATCH_UP)
            with self._instance_lock():
                instance.hold_writers()
            # The setting is in force only when a commit waits; servers apply it some time after the statement returns.
            # An idle database has no commits, so make some.
            with self._committing():
                self._until(lambda: instance.primary.server.commits_wait(primary), _SYNC, "no commit waits for it")
            # Commits that returned before the setting was in force need not be on the standby yet. This waits for
            # those.
            self._until_received(follower, _SYNC)
        with self._instance_lock():
            # Opened before in_sync, because a failover relies on this session.
            self._node().open_promotion_session()
            instance.in_sync = True

    @contextlib.contextmanager
    def _committing(self) -> Iterator[None]:
        """Commit small changes one after the other, so that there is always a commit that has to wait."""
        over = threading.Event()

        def write() -> None:
            server = self._instance.primary.server
            with contextlib.suppress(LocalError), server.open_writer() as writer:
                while not over.is_set():
                    server.heartbeat(writer, timeout=_SYNC)

        # In another thread: these commits block until the standby acknowledges, which is what the caller waits to see.
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
        """Release commits from waiting for a standby that did not come in sync."""
        # Raises when cancelled: the canceling thread then holds the lock and releases the commits itself.
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
        """Hold the instance's lock.

        The wait checks for cancellation: cancel() joins this thread while its caller may hold the lock. A plain
        acquire() would deadlock.

        Raises:
            LocalError: the work was cancelled.
        """
        lock = self._instance.lock
        while not lock.acquire(timeout=_LOCK_POLL):
            self._check()
        try:
            # Once more with the lock: the work may have been cancelled between the last check and the acquisition.
            self._check()
            yield
        finally:
            lock.release()
