"""Does the steps of every instance: serial for one instance, side by side for different ones."""

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
    """Hears how the work went; each instance's backend is one."""

    def settle(self, instance: LocalDBInstance, step: Step) -> None:
        """Take note of a step that is done."""

    def give_up(self, instance: LocalDBInstance, step: Step, reason: str) -> None:
        """Take note of a step that failed."""

    def record(self, instance: LocalDBInstance, kind: str, *, reason: str = "") -> None:
        """Add an event."""


class Workflows:
    """Works through the steps that API calls add to instances.

    Args:
        fleet: the servers.
        monitor: held to look at or change an instance, never while the servers work.
        save: makes the state of instances durable; called inside the monitor.
    """

    def __init__(self, fleet: Fleet, monitor: Monitor, save: Callable[[], None]) -> None:
        self._fleet = fleet
        self._monitor = monitor
        self._save = save
        self._busy: dict[str, threading.Thread] = {}
        self._closing = False

    def begin(self, instance: LocalDBInstance, step: Step) -> None:
        """Add a step to an instance. The caller is inside the monitor."""
        instance.steps.append(step)
        if step.status:
            instance.status = step.status
        self.resume(instance)

    def resume(self, instance: LocalDBInstance) -> None:
        """Work on the steps of an instance, if it has any. The caller is inside the monitor."""
        resource_id = instance.dbi_resource_id
        if not instance.steps or resource_id in self._busy or self._closing:
            return
        worker = threading.Thread(target=self._work, args=(instance,), name=f"workflow-{resource_id}", daemon=True)
        self._busy[resource_id] = worker
        worker.start()

    def close(self, timeout: float) -> None:
        """Let every step that is under way finish; what comes after it waits for the next start.

        Args:
            timeout: seconds for all of them together.
        """
        with self._monitor:
            self._closing = True
            workers = list(self._busy.values())
        deadline = time.monotonic() + timeout
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))

    def _work(self, instance: LocalDBInstance) -> None:
        while True:
            with self._monitor:
                if not instance.steps or self._closing:
                    del self._busy[instance.dbi_resource_id]
                    return
                step = instance.steps[0]
                self._announce_begin(instance, step)
            self._do(instance, step)

    def _announce_begin(self, instance: LocalDBInstance, step: Step) -> None:
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
        """Do a step and take note of it; what went wrong, if anything."""
        try:
            step.perform(self._fleet, instance.subject())
            facts = None if step.removes else self._fleet.describe(instance.dbi_resource_id)
            with self._monitor:
                if facts is not None:
                    instance.learn(facts)
                _recorder(instance).settle(instance, step)
        except LocalError as error:
            _log.exception("%s: %s failed", instance.db_instance_identifier, type(step).__name__)
            return str(error)
        except Exception as error:  # noqa: BLE001 - a worker that died would leave the status untrue for ever
            _log.exception("%s: %s failed unexpectedly", instance.db_instance_identifier, type(step).__name__)
            return f"{type(step).__name__}: {type(error).__name__}: {error}"
        return None

    def _finish(self, instance: LocalDBInstance, status: str | None) -> None:
        instance.steps.pop(0)
        following = next((step.status for step in instance.steps if step.status), None)
        instance.status = following or status or instance.status
        self._publish()

    def _publish(self) -> None:
        try:
            self._save()
        except LocalError:
            # Nobody waits for an answer here; the next call that changes something tells its caller.
            _log.exception("the state of the control plane was not saved")
        self._monitor.announce()


def _recorder(instance: LocalDBInstance) -> Recorder:
    backend: Any = instance.backend
    recorder: Recorder = backend
    return recorder
