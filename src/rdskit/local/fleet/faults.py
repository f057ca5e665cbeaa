"""Inject faults into instances, and clear them on request, after a time, or when the fleet closes."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from rdskit.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.local.fault_model import Fault
    from rdskit.local.fleet.instance import Instance
    from rdskit.local.fleet.supervisor import Supervisor

_log = logging.getLogger(__name__)


class FaultTimers:
    """Timers that clear faults after a duration."""

    def __init__(self) -> None:
        self._timers: set[threading.Timer] = set()
        self._lock = threading.Lock()

    def end_after(self, seconds: float, instance: Instance, fault: Fault) -> None:
        """Clear a fault after some seconds, unless it has been cleared by then."""

        def end() -> None:
            # Not held during clear(), which waits for the instance's lock: close() would wait with it.
            with self._lock:
                self._timers.discard(timer)
            try:
                clear(instance, {fault})
            except LocalError:
                _log.exception("%s: the fault %s could not be cleared", instance.resource_id, fault.kind)

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        with self._lock:
            self._timers.add(timer)
        timer.start()

    def close(self) -> None:
        """Cancel the timers of all faults."""
        with self._lock:
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()


def inject(supervisor: Supervisor, fault: Fault, replicas: Iterable[Instance]) -> None:
    """Inject a fault. Does nothing if it is in force.

    Args:
        supervisor: of the instance.
        fault: what happens.
        replicas: its read replicas.

    Raises:
        LocalError: the instance is stopped, or cannot have this fault.
    """
    instance = supervisor.instance
    with instance.lock:
        if instance.record.stopped or not instance.primary.server.alive:
            raise LocalError(f"{instance.resource_id} does not run: start it, then inject the fault")
        if fault.kind == "full-disk" and instance.record.cluster_id is not None:
            raise LocalError(
                f"{instance.resource_id} belongs to a DB cluster, whose storage does not fill up here: use kill"
            )
        delayed = _replicas_to_delay(instance, replicas) if fault.kind == "lag" else frozenset()
        _log.info("%s: fault %s", instance.resource_id, fault)
        if fault.lasts:
            instance.faults |= {fault}
        instance.delayed |= delayed
        if fault.kind == "kill":
            instance.primary.server.fence()
        elif fault.kind == "hang":
            instance.primary.server.pause()
        elif fault.cuts_off:
            instance.primary.cut_off = True
        elif fault.kind == "full-disk":
            _run_out_of_storage(supervisor)
        if fault.kind in ("blackhole", "latency", "reset"):
            instance.refresh_endpoint(cut=fault.kind == "reset")
    # Without the instance's lock, as in clear().
    _delay_replay(delayed, fault.seconds)


def clear(instance: Instance, faults: Iterable[Fault]) -> frozenset[Fault]:
    """Clear faults that are in force.

    Args:
        instance: instance that has them.
        faults: the faults to clear; those that are not in force are ignored.

    Returns:
        The faults that were in force.
    """
    with instance.lock:
        ended = instance.faults.intersection(faults)
        instance.faults -= ended
        kinds = {fault.kind for fault in ended}
        delayed = instance.delayed if "lag" in kinds else frozenset()
        instance.delayed -= delayed
        # The supervisor may have killed and restarted the server by now. The new process is not suspended.
        if "hang" in kinds and instance.primary.server.suspended:
            instance.primary.server.resume()
        if not instance.closing.is_set() and not kinds.isdisjoint(("blackhole", "latency")):
            instance.primary.cut_off = instance.primary.cut_off and any(each.cuts_off for each in instance.faults)
            instance.refresh_endpoint()
    # Use the replicas recorded at the injection: a failover of the cluster may have made one of them the writer.
    # Without the instance's lock: the present writer's lock would come before a reader's in the lock order.
    _delay_replay(delayed, 0.0)
    return ended


def _run_out_of_storage(supervisor: Supervisor) -> None:
    """Stop all servers, as when the disk is full and no server can write its log. Both disks of a pair have one size.

    Nothing is promoted or started while the fault is in force. Afterwards the supervisor starts the primary in place.
    """
    instance = supervisor.instance
    instance.refuse()
    supervisor.cancel_restoration()
    instance.close_promotion_sessions()
    instance.synchronous = instance.in_sync = False
    for node in instance.nodes:
        # kill() waits for the exit, unlike fence(): a listener of the event below may check at once whether it runs.
        node.server.kill()
    instance.context.report(instance.resource_id, "storage-full", "Allocated storage has been exhausted")


def _replicas_to_delay(instance: Instance, replicas: Iterable[Instance]) -> frozenset[Instance]:
    """Return the replicas that the fault ``lag`` of an instance delays."""
    found = frozenset([instance] if instance.is_replica else (each for each in replicas if not each.record.stopped))
    if not found:
        raise LocalError(f"{instance.resource_id} has no read replica that could lag: create one first")
    return found


def _delay_replay(replicas: Iterable[Instance], seconds: float) -> None:
    """Set the replay delay of replicas. The caller holds no lock.

    This waits for a replica's lock, which may be held for the length of a copy.
    """
    for replica in replicas:
        with replica.lock:
            if not replica.closing.is_set():
                replica.primary.server.delay_replay(seconds)
