"""Supervise one instance of a cluster. A lost writer is the cluster's failover, not the instance's."""

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

# Seconds after a failed admission. Each attempt makes the writer's commits wait for a while.
_NEXT_ADMISSION: Final = 1.0


class MemberSupervisor(Supervisor):
    """Supervisor of one instance of a cluster.

    A reader's supervisor makes the writer's commits wait for the reader while it streams, and no longer than that.

    Args:
        instance: to be supervised.
        cluster: the cluster that it belongs to.
    """

    def __init__(self, instance: Instance, cluster: Cluster) -> None:
        super().__init__(instance, lambda: ())
        self._cluster = cluster
        self._silent_since: float | None = None
        self._not_before = 0.0

    def fail_over(self, cause: FailoverCause, target: str | None = None) -> FailoverRecord:
        """Fail over the cluster. The caller holds the writer's lock."""
        return fail_over(self._cluster, cause, target)

    def restart_primary(self) -> None:
        """Start the server in place; a former writer that is a reader now is rewound first."""
        instance = self.instance
        if instance.is_replica and not instance.primary.server.is_standby:
            replication.rejoin(instance)
            return
        if not instance.is_replica:
            # A restarted writer waits for no reader. Readers must not acknowledge either until they are admitted
            # again, because MySQL would count those acknowledgements.
            self._cluster.forget_sync()
            self._cluster.stop_acknowledgements()
        super().restart_primary()

    def _decide(self) -> Action:
        verdict = self.instance.primary.health.verdict
        # A failed reader is restarted in place; it has no standby.
        if self.instance.is_replica:
            return decide(verdict, None, in_sync=False)
        # The cluster's readers take the part of the standby in the policy.
        may_be_promoted = bool(self._cluster.promotion_candidates())
        return decide(verdict, ServerHealth.FINE if may_be_promoted else None, in_sync=may_be_promoted)

    def _act(self) -> None:
        if self.instance.is_replica:
            self._update_membership()
        # A server that was down missed the members. The writer's supervisor publishes them again.
        elif not self._cluster.published:
            self._cluster.refresh()
        super()._act()

    def _update_membership(self) -> None:
        """Admit this reader when it streams, and dismiss it when it does not."""
        instance, now = self.instance, time.monotonic()
        fine = instance.primary.health.verdict is ServerHealth.FINE
        if fine and instance.streaming:
            self._silent_since = None
            if instance.resource_id not in self._cluster.in_sync and now >= self._not_before:
                self._try_admission()
            return
        self._silent_since = self._silent_since or now
        # A reader that merely reconnects keeps its place for STREAM_GRACE, during which commits wait.
        if not fine or now - self._silent_since >= STREAM_GRACE:
            self._cluster.dismiss(instance)

    def _try_admission(self) -> None:
        # Do not wait: the holder of the lock is restarting the reader or repointing it. Try again at the next tick.
        if self.instance.lock.acquire(blocking=False):
            try:
                # Under the lock: a failover may just have made this reader the writer.
                if self.instance.is_replica and not self._cluster.admit(self.instance):
                    self._not_before = time.monotonic() + _NEXT_ADMISSION
            finally:
                self.instance.lock.release()
