"""Keeping one instance alive: a thread that probes its servers and does what the policy says."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.engines.processes import wait_for_exit
from rdskit.local.fleet import replicas as replication
from rdskit.local.fleet.failover import fail_over
from rdskit.local.fleet.policy import PROBE_INTERVAL, REBUILD_AFTER, STREAM_GRACE, Action, ServerHealth, decide
from rdskit.local.fleet.standby import Restoration, Way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rdskit.local.fleet.instance import Instance
    from rdskit.local.fleet.model import FailoverCause, FailoverRecord

_log = logging.getLogger(__name__)

_RETRY: Final = 5.0
_CLIENTS_FIRST: Final = 0.75  # seconds after a failover in which the machine belongs to clients that reconnect


class Supervisor:
    """Everything that keeps one instance going while nobody asks for anything.

    Args:
        instance: to be kept going.
        replicas: finds its read replicas.

    Attributes:
        instance: as given.
    """

    def __init__(self, instance: Instance, replicas: Callable[[], Iterable[Instance]]) -> None:
        self.instance = instance
        self._replicas = replicas
        self._restoration: Restoration | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._lost_stream: float | None = None

    def begin(self) -> None:
        """Watch from now on."""
        self.instance.check_open()
        self._ended.clear()
        self._thread = threading.Thread(target=self._watch, name=f"rdskit-{self.instance.resource_id}", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Leave the instance alone; the caller does not hold its lock."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self.instance.lock:
            self.cancel_restoration()
        for node in self.instance.nodes:
            node.close_probe()

    def restore_standby(self, first: Way, *, after: float = 0.0) -> Restoration:
        """Bring the standby back in the background, beginning with the cheapest way that may work.

        Args:
            first: that way.
            after: seconds until the work begins.
        """
        self.instance.check_open()
        self.cancel_restoration()
        self._restoration = Restoration(self.instance, first, after=after)
        self._restoration.start()
        return self._restoration

    def cancel_restoration(self) -> None:
        """Leave the standby as it is; writers do not wait for it."""
        if self._restoration is not None:
            self._restoration.cancel()
            self._restoration = None
            if not self.instance.in_sync:
                self.instance.release_writers()

    def fail_over(self, cause: FailoverCause) -> FailoverRecord:
        """Fail over, and see to the old primary and the read replicas. The caller holds the instance's lock."""
        replicas = list(self._replicas())
        record = fail_over(self.instance, cause, replicas)
        self.restore_standby(Way.REWIND, after=_CLIENTS_FIRST)
        for replica in replicas:
            threading.Thread(
                target=_follow, args=(replica,), name=f"rdskit-follow-{replica.resource_id}", daemon=True
            ).start()
        return record

    def restart_primary(self) -> None:
        """Start the primary again in its place, not waiting for its standby; the caller holds the instance's lock.

        A replica whose copy of its source is not whole is copied anew.
        """
        instance = self.instance
        if instance.is_replica and replication.is_incomplete(instance):
            replication.rejoin(instance)
            return
        self.cancel_restoration()
        instance.synchronous = instance.in_sync = False
        instance.close_promotion_sessions()
        try:
            instance.start_primary()
        finally:
            # It may run although its parameters were refused: with the former ones.
            if instance.primary.server.alive and not instance.diverged:
                instance.accept()
            if instance.standby is not None:
                self.restore_standby(Way.RESTART)

    def _watch(self) -> None:
        while not self._ended.is_set():
            try:
                self._observe()
                if self._should_run():
                    self._act()
            except LocalError as error:
                _log.error("%s: %s", self.instance.resource_id, error)
                self._ended.wait(_RETRY)

    def _observe(self) -> None:
        instance = self.instance
        nodes = instance.nodes
        for node in nodes:
            node.send_probe(following=instance.is_replica or node is not instance.primary)
        began = time.monotonic()
        wait_for_exit([node.server.pid for node in nodes if node.server.alive and node.server.pid], PROBE_INTERVAL)
        late = time.monotonic() - began - PROBE_INTERVAL
        for node in nodes:
            node.record_probe(late)
            if node not in instance.nodes:
                node.close_probe()

    def _should_run(self) -> bool:
        instance = self.instance
        unwanted = instance.record.stopped or instance.storage_full or instance.closing.is_set()
        return not (unwanted or self._ended.is_set())

    def _act(self) -> None:
        if self._decide() is not Action.NOTHING:
            with self.instance.lock:
                # Somebody may have restarted or stopped it on purpose while we waited for the lock.
                if self._should_run():
                    self._perform(self._decide())
        elif self.instance.is_replica:
            self._check_replica()
        elif self.instance.in_sync:
            self._check_stream()
        else:
            self._lost_stream = None

    def _decide(self) -> Action:
        instance = self.instance
        standby = instance.standby.health.verdict if instance.standby and not self._restoring else None
        return decide(instance.primary.health.verdict, standby, in_sync=instance.in_sync)

    @property
    def _restoring(self) -> bool:
        return self._restoration is not None and self._restoration.active

    def _perform(self, action: Action) -> None:
        instance = self.instance
        hung = instance.primary.health.verdict is ServerHealth.HUNG
        if action is Action.PROMOTE:
            self._promote(hung=hung)
        elif action is Action.RESTART:
            self._restart(hung=hung)
        elif action is Action.DROP_STANDBY and instance.standby is not None:
            instance.standby.server.fence()
            self._continue_without_standby("The standby's server failed")

    def _promote(self, *, hung: bool) -> None:
        try:
            self.fail_over("primary-hung" if hung else "primary-ended")
        except LocalError as error:
            if self.instance.standby is None:
                raise
            # What was acknowledged is on the old primary too, and the standby has let nobody in.
            _log.warning("%s: its standby cannot take over: %s", self.instance.resource_id, error)
            self._restart(hung=hung)
            self.restore_standby(Way.CLONE)

    def _restart(self, *, hung: bool) -> None:
        instance = self.instance
        what = "did not answer" if hung else "ended"
        instance.context.report(instance.resource_id, "stopped-unexpectedly", f"The server's process {what}")
        instance.refuse()
        instance.primary.server.kill()
        try:
            self.restart_primary()
        finally:
            if instance.accepting:  # although its source went away meanwhile, say
                instance.context.report(instance.resource_id, "restarted", "The server was restarted after recovery")

    def _continue_without_standby(self, reason: str) -> None:
        instance = self.instance
        instance.release_writers()
        message = f"{reason}; writes go on without it until it is back"
        instance.context.report(instance.resource_id, "standby-lost", message)
        self.restore_standby(Way.RESTART)

    def _check_stream(self) -> None:
        """A standby that lives and receives nothing would keep writers waiting."""
        instance = self.instance
        if self._seconds_without_stream(instance.standby_streams) < STREAM_GRACE:
            return
        with instance.lock:
            if self._should_run() and instance.in_sync:
                self._continue_without_standby("The standby does not stream")
        self._lost_stream = None

    def _check_replica(self) -> None:
        """A replica that receives nothing although its source runs cannot be helped by waiting.

        One that receives and is out of service was made anew by somebody who had to give up waiting for that.
        """
        instance = self.instance
        probed = instance.primary.probed
        instance.replica_lag = probed.lag if probed is not None and probed.streaming else None
        if instance.streaming and not instance.accepting:
            with instance.lock:
                if self._should_run() and instance.is_replica and not instance.accepting:
                    replication.readmit(instance)
        if self._seconds_without_stream(instance.streaming) < REBUILD_AFTER or not self._source_runs():
            return
        with instance.lock:
            if self._should_run() and not instance.streaming:
                replication.rejoin(instance)
        self._lost_stream = None

    def _source_runs(self) -> bool:
        source = self.instance.source
        return (
            source is not None and source().primary.health.verdict is ServerHealth.FINE and not source().record.stopped
        )

    def _seconds_without_stream(self, streaming: bool) -> float:  # noqa: FBT001 - one obvious argument
        now = time.monotonic()
        self._lost_stream = None if streaming else (self._lost_stream or now)
        return 0.0 if self._lost_stream is None else now - self._lost_stream


def _follow(replica: Instance) -> None:
    try:
        with replica.lock:
            if not (replica.closing.is_set() or replica.record.stopped):
                replication.follow(replica)
    except LocalError:
        _log.exception("%s could not follow its source's new primary", replica.resource_id)
