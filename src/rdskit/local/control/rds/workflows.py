"""Run the steps of all instances: one after another for one instance, in parallel for different ones."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from rdskit.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.local.control.monitor import Monitor
    from rdskit.local.control.rds.instance import LocalDBInstance
    from rdskit.local.control.rds.steps import Step
    from rdskit.local.fleet import Fleet

__all__ = ["Workflows"]

_log = logging.getLogger(__name__)


class Recorder(Protocol):
    """Receives the results of steps; the backend of an instance is one."""

    def settle(self, instance: LocalDBInstance, step: Step) -> None:
        """Record a step that is done."""

    def give_up(self, instance: LocalDBInstance, step: Step, reason: str) -> None:
        """Record a step that failed."""

    def record(self, instance: LocalDBInstance, kind: str, *, reason: str = "") -> None:
        """Add an event of an instance."""


class Workflows:
    """The threads that perform the steps of instances.

    An instance with steps has one worker thread. It takes the monitor to read or change the instance, and releases it
    while the servers work: a step may take minutes, and takes locks of instances, which come before the monitor in the
    lock order.

    Args:
        fleet: the servers.
        monitor: held to read or change an instance, never while the servers work.
        save: makes the state of instances durable; called inside the monitor.
    """

    def __init__(self, fleet: Fleet, monitor: Monitor, save: Callable[[], None]) -> None:
        self._fleet = fleet
        self._monitor = monitor
        self._save = save
        # Both are guarded by the monitor.
        self._busy: dict[str, threading.Thread] = {}  # the worker of each instance that has one
        self._closing = False

    def begin(self, instance: LocalDBInstance, step: Step) -> None:
        """Add a step to an instance. Call inside the monitor."""
        # A request saves the state before it leaves the monitor, and the worker needs the monitor to begin. So a step
        # is on disk before its work begins, and a crash cannot lose work that a caller has been promised.
        instance.steps.append(step)
        # At once, not when the step begins: the answer of the API call must show the new status, as RDS does.
        if step.status:
            instance.status = step.status
        self.resume(instance)

    def resume(self, instance: LocalDBInstance) -> None:
        """Start a worker for the steps of an instance, if it has any and no worker. Call inside the monitor."""
        resource_id = instance.dbi_resource_id
        if not instance.steps or resource_id in self._busy or self._closing:
            return
        worker = threading.Thread(target=self._work, args=(instance,), name=f"workflow-{resource_id}", daemon=True)
        self._busy[resource_id] = worker
        worker.start()

    def close(self, timeout: float) -> None:
        """Let every step in progress finish; the following steps wait for the next start.

        Args:
            timeout: seconds for all of them together.
        """
        # Workers are daemon threads: one that takes longer ends with the process, and its step is done again.
        with self._monitor:
            self._closing = True
            workers = list(self._busy.values())
        deadline = time.monotonic() + timeout
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))

    def _work(self, instance: LocalDBInstance) -> None:
        while True:
            # The check and the removal from _busy are one critical section with begin(): a step that is added later
            # finds no worker and starts one, a step that was added before is seen here.
            with self._monitor:
                if not instance.steps or self._closing:
                    del self._busy[instance.dbi_resource_id]
                    return
                step = instance.steps[0]
                self._announce_begin(instance, step)
            # Outside the monitor: API calls go on while the servers work, and may add steps to this instance.
            self._do(instance, step)

    def _announce_begin(self, instance: LocalDBInstance, step: Step) -> None:
        # After a crash in the middle the step begins again, and so does its event.
        if step.begun:
            _recorder(instance).record(instance, step.begun)
            self._publish()

    def _do(self, instance: LocalDBInstance, step: Step) -> None:
        reason = self._attempt(instance, step)
        with self._monitor:
            if reason is not None:
                _recorder(instance).give_up(instance, step, reason)
            self._finish(instance, step.result if reason is None else step.failure)

    def _attempt(self, instance: LocalDBInstance, step: Step) -> str | None:
        """Perform a step and record its success; return the reason of a failure, or None."""
        try:
            # Servers first, then their state, then the record: the API never shows what the servers do not have yet.
            step.perform(self._fleet, instance.subject())
            facts = None if step.removes else self._fleet.describe(instance.dbi_resource_id)
            with self._monitor:
                if facts is not None:
                    instance.learn(facts)
                _recorder(instance).settle(instance, step)
        except LocalError as error:
            _log.exception("%s: %s failed", instance.db_instance_identifier, type(step).__name__)
            return str(error)
        except Exception as error:  # noqa: BLE001 - if the worker died, the status would stay wrong for ever
            _log.exception("%s: %s failed unexpectedly", instance.db_instance_identifier, type(step).__name__)
            return f"{type(step).__name__}: {type(error).__name__}: {error}"
        return None

    def _finish(self, instance: LocalDBInstance, status: str | None) -> None:
        # The step leaves the list together with the saved result. A crash before this save repeats the step, so every
        # perform() must accept work that was done before.
        instance.steps.pop(0)
        # A step that an API call added in the meantime has set its status already: keep that one.
        following = next((step.status for step in instance.steps if step.status), None)
        instance.status = following or status or instance.status
        self._publish()

    def _publish(self) -> None:
        try:
            self._save()
        except LocalError:
            # No caller waits for an answer here. The next call that changes something saves again, and reports a
            # failure.
            _log.exception("the state of the control plane was not saved")
        self._monitor.announce()


def _recorder(instance: LocalDBInstance) -> Recorder:
    backend: Any = instance.backend
    recorder: Recorder = backend
    return recorder
