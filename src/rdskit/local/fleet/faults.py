"""Faults on purpose: begun, ended when their time is over, and forgotten when the fleet closes."""

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
    """Ends faults when their time is over."""

    def __init__(self) -> None:
        self._timers: set[threading.Timer] = set()
        self._lock = threading.Lock()

    def end_after(self, seconds: float, instance: Instance, fault: Fault) -> None:
        """End a fault after some seconds, unless it has been cleared by then."""

        def end() -> None:
            with self._lock:
                self._timers.discard(timer)
            try:
                clear(instance, {fault})
            except LocalError:
                _log.exception("%s: the end of %s did not succeed", instance.resource_id, fault.kind)

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        with self._lock:
            self._timers.add(timer)
        timer.start()

    def close(self) -> None:
        """End nothing any more."""
        with self._lock:
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()


def inject(supervisor: Supervisor, fault: Fault, replicas: Iterable[Instance]) -> None:
    """Begin a fault; one that is in force already is fine.

    Args:
        supervisor: of the instance to which it happens.
        fault: what happens.
        replicas: its read replicas.

    Raises:
        LocalError: the instance is stopped, or cannot have this fault.
    """
    instance = supervisor.instance
    with instance.lock:
        if instance.record.stopped or not instance.primary.server.alive:
            raise LocalError(f"{instance.resource_id} does not run: start it before you break it")
        if fault.kind == "full-disk" and instance.record.cluster_id is not None:
            raise LocalError(f"{instance.resource_id} is of a DB cluster, whose storage does not fill up here: kill it")
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
    _delay_replay(delayed, fault.seconds)


def clear(instance: Instance, faults: Iterable[Fault]) -> frozenset[Fault]:
    """End faults that are in force.

    Args:
        instance: whose.
        faults: which; those that are not in force do not matter.

    Returns:
        Those that were.
    """
    with instance.lock:
        ended = instance.faults.intersection(faults)
        instance.faults -= ended
        kinds = {fault.kind for fault in ended}
        delayed = instance.delayed if "lag" in kinds else frozenset()
        instance.delayed -= delayed
        if "hang" in kinds and instance.primary.server.suspended:
            instance.primary.server.resume()
        if not instance.closing.is_set() and not kinds.isdisjoint(("blackhole", "latency")):
            instance.primary.cut_off = instance.primary.cut_off and any(each.cuts_off for each in instance.faults)
            instance.refresh_endpoint()
    # By now the writer of a cluster may be another one: who was held back then counts, not who reads now.
    _delay_replay(delayed, 0.0)
    return ended


def _run_out_of_storage(supervisor: Supervisor) -> None:
    """Where a disk that fills up ends: no server can write its log, so none runs. A pair's disks are of one size.

    Nothing is promoted or started while the fault is in force; then the primary is started again where it was.
    """
    instance = supervisor.instance
    instance.refuse()
    supervisor.cancel_restoration()
    instance.close_promotion_sessions()
    instance.synchronous = instance.in_sync = False
    for node in instance.nodes:
        node.server.kill()  # and wait: who is told looks at once whether it runs
    instance.context.report(instance.resource_id, "storage-full", "Allocated storage has been exhausted")


def _replicas_to_delay(instance: Instance, replicas: Iterable[Instance]) -> frozenset[Instance]:
    found = frozenset([instance] if instance.is_replica else (each for each in replicas if not each.record.stopped))
    if not found:
        raise LocalError(f"{instance.resource_id} has no read replica that could lag: create one first")
    return found


def _delay_replay(replicas: Iterable[Instance], seconds: float) -> None:
    """The caller holds no lock: whoever restarts a replica, or has it follow another source, is waited for."""
    for replica in replicas:
        with replica.lock:
            if not replica.closing.is_set():
                replica.primary.server.delay_replay(seconds)
