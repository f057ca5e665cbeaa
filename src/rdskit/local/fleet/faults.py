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

_log = logging.getLogger(__name__)


class FaultTimers:
    """Ends faults when their time is over."""

    def __init__(self) -> None:
        self._timers: set[threading.Timer] = set()
        self._lock = threading.Lock()

    def end_after(self, seconds: float, instance: Instance, fault: Fault, replicas: Iterable[Instance]) -> None:
        """End a fault after some seconds, unless it has been cleared by then."""

        def end() -> None:
            with self._lock:
                self._timers.discard(timer)
            try:
                clear(instance, {fault}, replicas)
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


def inject(instance: Instance, fault: Fault, replicas: Iterable[Instance]) -> None:
    """Begin a fault; one that is in force already is fine.

    Args:
        instance: to which it happens.
        fault: what happens.
        replicas: its read replicas.

    Raises:
        LocalError: the instance is stopped, or cannot have this fault.
    """
    with instance.lock:
        if instance.record.stopped or not instance.primary.server.alive:
            raise LocalError(f"{instance.resource_id} does not run: start it before you break it")
        _log.info("%s: fault %s", instance.resource_id, fault)
        if fault.kind == "lag":
            _delay(_delayed(instance, replicas), fault.seconds)
        if fault.lasts:
            instance.faults |= {fault}
        if fault.kind == "kill":
            instance.primary.server.fence()
        elif fault.kind == "hang":
            instance.primary.server.pause()
        elif fault.kind == "blackhole" and fault.path == "all":
            instance.primary.cut_off = True
        if fault.kind in ("blackhole", "latency", "reset"):
            instance.refresh_endpoint(cut=fault.kind == "reset")


def clear(instance: Instance, faults: Iterable[Fault], replicas: Iterable[Instance]) -> frozenset[Fault]:
    """End faults that are in force.

    Args:
        instance: whose.
        faults: which; those that are not in force do not matter.
        replicas: its read replicas.

    Returns:
        Those that were.
    """
    with instance.lock:
        ended = instance.faults.intersection(faults)
        instance.faults -= ended
        kinds = {fault.kind for fault in ended}
        if "hang" in kinds and instance.primary.server.suspended:
            instance.primary.server.resume()
        if "lag" in kinds:
            _delay([each for each in (instance, *replicas) if each.is_replica], 0.0)
        if not instance.closing.is_set() and not kinds.isdisjoint(("blackhole", "latency")):
            instance.primary.cut_off = instance.primary.cut_off and any(_cuts_off(each) for each in instance.faults)
            instance.refresh_endpoint()
        return ended


def _cuts_off(fault: Fault) -> bool:
    return fault.kind == "blackhole" and fault.path == "all"


def _delayed(instance: Instance, replicas: Iterable[Instance]) -> list[Instance]:
    found = [instance] if instance.is_replica else [each for each in replicas if not each.record.stopped]
    if not found:
        raise LocalError(f"{instance.resource_id} has no read replica that could lag: create one first")
    return found


def _delay(replicas: Iterable[Instance], seconds: float) -> None:
    for replica in replicas:
        replica.primary.server.delay_replay(seconds)
