"""Keeping one instance of a cluster alive; what happens to a writer is the cluster's affair."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rdskit.local.fleet import replicas as replication
from rdskit.local.fleet.clusters.failover import fail_over
from rdskit.local.fleet.policy import STREAM_GRACE, Action, ServerHealth, decide
from rdskit.local.fleet.supervisor import Supervisor

if TYPE_CHECKING:
    from rdskit.local.fleet.clusters.cluster import Cluster
    from rdskit.local.fleet.instance import Instance
    from rdskit.local.fleet.model import FailoverCause, FailoverRecord

_NEXT_ADMISSION: Final = 1.0


class MemberSupervisor(Supervisor):
    """Everything that keeps one instance of a cluster going.

    A reader sees to it by itself that the writer waits for it while it streams, and no longer than that.

    Args:
        instance: to be kept going.
        cluster: to which it belongs.
    """

    def __init__(self, instance: Instance, cluster: Cluster) -> None:
        super().__init__(instance, lambda: ())
        self._cluster = cluster
        self._silent_since: float | None = None
        self._not_before = 0.0

    def fail_over(self, cause: FailoverCause, target: str | None = None) -> FailoverRecord:
        """Fail the cluster over. The caller holds the writer's lock."""
        return fail_over(self._cluster, cause, target)

    def restart_primary(self) -> None:
        """Start the server in its place; one that was a writer and is none any more is rewound first."""
        instance = self.instance
        if instance.is_replica and not instance.primary.server.is_standby:
            replication.rejoin(instance)
            return
        if not instance.is_replica:
            self._cluster.forget_sync()
            self._cluster.stop_acknowledgements()
        super().restart_primary()

    def _decide(self) -> Action:
        verdict = self.instance.primary.health.verdict
        if self.instance.is_replica:
            return decide(verdict, None, in_sync=False)
        may_be_promoted = bool(self._cluster.promotion_candidates())
        return decide(verdict, ServerHealth.FINE if may_be_promoted else None, in_sync=may_be_promoted)

    def _act(self) -> None:
        if self.instance.is_replica:
            self._update_membership()
        elif not self._cluster.published:
            self._cluster.refresh()
        super()._act()

    def _update_membership(self) -> None:
        """Have the writer wait for this reader while it streams."""
        instance, now = self.instance, time.monotonic()
        fine = instance.primary.health.verdict is ServerHealth.FINE
        if fine and instance.streaming:
            self._silent_since = None
            if instance.resource_id not in self._cluster.in_sync and now >= self._not_before:
                self._try_admission()
            return
        self._silent_since = self._silent_since or now
        if not fine or now - self._silent_since >= STREAM_GRACE:
            self._cluster.dismiss(instance)

    def _try_admission(self) -> None:
        # Whoever holds the lock is about to restart the reader, or has it follow another writer.
        if self.instance.lock.acquire(blocking=False):
            try:
                if self.instance.is_replica and not self._cluster.admit(self.instance):
                    self._not_before = time.monotonic() + _NEXT_ADMISSION
            finally:
                self.instance.lock.release()
