"""Keep one instance running: probe its servers in a thread and carry out the policy's decisions."""

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

_RETRY: Final = 5.0  # seconds between attempts after an error, so that a server that cannot start does not fill the log
# Seconds after a failover before the old primary is rewound. Rewinding needs processor and disk just when every client
# reconnects.
_CLIENTS_FIRST: Final = 0.75


class Supervisor:
    """Supervisor of one instance: probes, failover, restart, and restoration of the standby.

    Its thread reads the instance without the lock, and changes it only with the lock.

    Args:
        instance: to be supervised.
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
        """Start the supervisor's thread."""
        self.instance.check_open()
        self._ended.clear()
        self._thread = threading.Thread(target=self._watch, name=f"rdskit-{self.instance.resource_id}", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop the supervisor's thread and the restoration. The caller does not hold the instance's lock."""
        self._ended.set()
        if self._thread is not None:
            # The thread may wait for the instance's lock, so a caller that held it would deadlock here.
            self._thread.join()
            self._thread = None
        with self.instance.lock:
            self.cancel_restoration()
        # The thread owned the probe connections. It has ended, so this thread may close them.
        for node in self.instance.nodes:
            node.close_probe()

    def restore_standby(self, first: Way, *, after: float = 0.0) -> Restoration:
        """Bring the standby back in sync in the background.

        Args:
            first: cheapest way that may work; the more expensive ones follow.
            after: seconds until the work begins.

        Returns:
            The background work.

        Raises:
            LocalError: the instance is being closed, or has no storage left.
        """
        self.instance.check_open()
        # Two restorations would write the same data directory.
        self.cancel_restoration()
        self._restoration = Restoration(self.instance, first, after=after)
        self._restoration.start()
        return self._restoration

    def cancel_restoration(self) -> None:
        """Stop the restoration and leave the standby as it is. Commits do not wait for it then."""
        if self._restoration is not None:
            self._restoration.cancel()
            self._restoration = None
            # The cancelled work may have made commits wait already. It could not undo that: the caller holds the lock.
            if not self.instance.in_sync:
                self.instance.release_writers()

    def fail_over(self, cause: FailoverCause) -> FailoverRecord:
        """Fail over, restore the old primary and repoint the replicas. The caller holds the instance's lock."""
        replicas = list(self._replicas())
        record = fail_over(self.instance, cause, replicas)
        self.restore_standby(Way.REWIND, after=_CLIENTS_FIRST)
        # In threads of their own: a replica may have to be copied again, and the caller still holds the instance's
        # lock.
        for replica in replicas:
            threading.Thread(
                target=_follow, args=(replica,), name=f"rdskit-follow-{replica.resource_id}", daemon=True
            ).start()
        return record

    def restart_primary(self) -> None:
        """Start the primary again in its place, without waiting for its standby. The caller holds the instance's lock.

        A replica whose copy of its source is incomplete is copied again.
        """
        instance = self.instance
        if instance.is_replica and replication.is_incomplete(instance):
            replication.rejoin(instance)
            return
        self.cancel_restoration()
        # The restarted server commits alone until the standby is back, so the standby must not be promoted until then.
        instance.synchronous = instance.in_sync = False
        instance.close_promotion_sessions()
        try:
            instance.start_primary()
        finally:
            # start_primary() raises for refused parameters although the server runs, with the former ones.
            if instance.primary.server.alive and not instance.diverged:
                instance.accept()
            if instance.standby is not None:
                self.restore_standby(Way.RESTART)

    def _watch(self) -> None:
        """Probe and act until the supervisor ends."""
        while not self._ended.is_set():
            try:
                self._observe()
                if self._should_run():
                    self._act()
            except LocalError as error:
                # Every step is repeated at the next tick, from what the probes show then. Nothing is kept from the
                # failed one.
                _log.error("%s: %s", self.instance.resource_id, error)
                self._ended.wait(_RETRY)

    def _observe(self) -> None:
        """Send probes, wait one interval, and record the answers."""
        instance = self.instance
        # A copy: an operation may swap the nodes during the wait.
        nodes = instance.nodes
        for node in nodes:
            node.send_probe(following=instance.is_replica or node is not instance.primary)
        began = time.monotonic()
        # Wakes at once when a server's process exits, so only hung servers cost three intervals. ``late`` is negative
        # then.
        wait_for_exit([node.server.pid for node in nodes if node.server.alive and node.server.pid], PROBE_INTERVAL)
        late = time.monotonic() - began - PROBE_INTERVAL
        for node in nodes:
            node.record_probe(late)
            # The standby was removed during the wait. Its connection belongs to this thread, so it is closed here.
            if node not in instance.nodes:
                node.close_probe()

    def _should_run(self) -> bool:
        """Return whether the servers are supposed to run."""
        instance = self.instance
        unwanted = instance.record.stopped or instance.storage_full or instance.closing.is_set()
        return not (unwanted or self._ended.is_set())

    def _act(self) -> None:
        """Carry out the policy's decision; with nothing to decide, check the streams."""
        if self._decide() is not Action.NOTHING:
            with self.instance.lock:
                # An operation may have restarted or stopped the instance while this thread waited for the lock. So
                # decide again, now that nothing else changes it.
                if self._should_run():
                    self._perform(self._decide())
        elif self.instance.is_replica:
            self._check_replica()
        elif self.instance.in_sync:
            self._check_stream()
        else:
            self._lost_stream = None

    def _decide(self) -> Action:
        """Return the policy's decision on the latest probes."""
        instance = self.instance
        # While a restoration runs, the standby is down on purpose; the probes must not make that a failure.
        standby = instance.standby.health.verdict if instance.standby and not self._restoring else None
        return decide(instance.primary.health.verdict, standby, in_sync=instance.in_sync)

    @property
    def _restoring(self) -> bool:
        """Whether a restoration of the standby runs."""
        return self._restoration is not None and self._restoration.active

    def _perform(self, action: Action) -> None:
        instance = self.instance
        hung = instance.primary.health.verdict is ServerHealth.HUNG
        if action is Action.PROMOTE:
            self._promote(hung=hung)
        elif action is Action.RESTART:
            self._restart(hung=hung)
        elif action is Action.DROP_STANDBY and instance.standby is not None:
            # A hung process must end before the restoration starts it again: stream() only reloads a server that is
            # alive.
            instance.standby.server.fence()
            self._continue_without_standby("The standby's server failed")

    def _promote(self, *, hung: bool) -> None:
        try:
            self.fail_over("primary-hung" if hung else "primary-ended")
        except LocalError as error:
            if self.instance.standby is None:
                raise
            # Safe: the old primary has every acknowledged commit too, and the standby has accepted no client's write.
            _log.warning("%s: its standby cannot be promoted: %s", self.instance.resource_id, error)
            self._restart(hung=hung)
            # The failed promotion may have started a timeline of its own, so only a new copy is certain to follow.
            self.restore_standby(Way.CLONE)

    def _restart(self, *, hung: bool) -> None:
        instance = self.instance
        what = "did not answer" if hung else "ended"
        instance.context.report(instance.resource_id, "stopped-unexpectedly", f"The server's process {what}")
        instance.refuse()
        # A hung process may still hold the data directory's locks, and could resume. It must be gone before the
        # restart.
        instance.primary.server.kill()
        try:
            self.restart_primary()
        finally:
            # In ``finally``: a replica may run and accept readers although its source failed during the restart.
            if instance.accepting:
                instance.context.report(instance.resource_id, "restarted", "The server was restarted after recovery")

    def _continue_without_standby(self, reason: str) -> None:
        """Release the commits that wait for the standby, and restore it in the background."""
        instance = self.instance
        instance.release_writers()
        message = f"{reason}; writes go on without it until it is back"
        instance.context.report(instance.resource_id, "standby-lost", message)
        self.restore_standby(Way.RESTART)

    def _check_stream(self) -> None:
        """Drop a standby that runs but has received nothing for :data:`STREAM_GRACE`.

        Such a standby passes its probes, while every commit on the primary waits for it.
        """
        instance = self.instance
        if self._seconds_without_stream(instance.standby_streams) < STREAM_GRACE:
            return
        with instance.lock:
            if self._should_run() and instance.in_sync:
                self._continue_without_standby("The standby does not stream")
        self._lost_stream = None

    def _check_replica(self) -> None:
        """Rewind or copy a replica that receives nothing although its source runs.

        Waiting does not help such a replica. One that receives again but is out of service was rebuilt by an operation
        that gave up waiting for the stream: put it back in service.
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
        """Return whether the replica's source runs and answers probes."""
        source = self.instance.source
        return (
            source is not None and source().primary.health.verdict is ServerHealth.FINE and not source().record.stopped
        )

    def _seconds_without_stream(self, streaming: bool) -> float:  # noqa: FBT001 - one obvious argument
        """Return the seconds since the stream was last seen; 0 while it is there."""
        now = time.monotonic()
        self._lost_stream = None if streaming else (self._lost_stream or now)
        return 0.0 if self._lost_stream is None else now - self._lost_stream


def _follow(replica: Instance) -> None:
    """Repoint a replica at its source's new primary."""
    try:
        with replica.lock:
            # The wait for the lock may have been long; the replica may have been stopped or deleted since.
            if not (replica.closing.is_set() or replica.record.stopped):
                replication.follow(replica)
    except LocalError:
        _log.exception("%s could not follow its source's new primary", replica.resource_id)
