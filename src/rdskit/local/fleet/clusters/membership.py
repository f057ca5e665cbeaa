"""Add instances to a cluster, remove them, and switch the writer on request."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.engines.waiting import poll
from rdskit.local.fleet import operations
from rdskit.local.fleet.clusters.supervisor import MemberSupervisor
from rdskit.local.fleet.instance import Instance

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.local.fleet.clusters.cluster import Cluster
    from rdskit.local.fleet.clusters.registry import Clusters
    from rdskit.local.fleet.fleet_context import FleetContext
    from rdskit.local.fleet.model import InstanceSpec
    from rdskit.local.fleet.store import InstanceRecord
    from rdskit.local.fleet.supervisor import Supervisor

_log = logging.getLogger(__name__)

_IN_SYNC: Final = 60.0  # seconds


def member(context: FleetContext, record: InstanceRecord, clusters: Clusters) -> MemberSupervisor:
    """Return the supervisor of a cluster's instance. The first instance becomes the writer.

    The caller may hold the fleet's lock, so this must not list the cluster's members.
    """
    cluster = clusters.find(record.cluster_id or "")
    if cluster.record.writer_id is None:
        cluster.remember(writer_id=record.resource_id)
    writes = cluster.record.writer_id == record.resource_id
    instance = Instance(context, record, None if writes else lambda: cluster.writer)
    instance.changed = cluster.refresh
    return MemberSupervisor(instance, cluster)


def join(cluster: Cluster, supervisor: Supervisor, spec: InstanceSpec) -> None:
    """Create the server of a new instance: the writer's from a template, a reader's as a copy.

    A reader is in sync when this returns.

    Raises:
        LocalError: the writer does not come up, or the reader does not come in sync.
    """
    instance = supervisor.instance
    if not instance.is_replica:
        operations.create(supervisor, spec)
        return
    # Two instances may be created at once. The second copies the first as soon as that accepts connections.
    if not poll(lambda: cluster.writer.accepting, timeout=_IN_SYNC, interval=0.05):
        raise LocalError(f"{cluster.writer.member.identifier} did not come up: {spec.identifier} has nothing to copy")
    operations.create_replica(supervisor)
    if not poll(lambda: instance.resource_id in cluster.in_sync, timeout=_IN_SYNC, interval=0.02):
        raise LocalError(f"{spec.identifier} is not in sync with its writer after {_IN_SYNC:g} s: see its log")


def leave(cluster: Cluster, supervisor: Supervisor) -> None:
    """Remove an instance from its cluster. A writer is switched over to a reader that stays, if there is one.

    Raises:
        LocalError: readers stay, and none of them comes in sync.
    """
    name = supervisor.instance.member.identifier
    if not poll(lambda: _left(cluster, supervisor), timeout=_IN_SYNC, interval=0.02):
        raise LocalError(
            f"{name} writes, and no reader of {cluster.resource_id} is in sync to be promoted: delete the readers first"
        )


def _left(cluster: Cluster, supervisor: Supervisor) -> bool:
    """Return whether an instance has left its cluster.

    One instance leaves at a time, so that a writer is never switched over to a reader that is leaving too.
    """
    instance = supervisor.instance
    with cluster.leaving:
        if instance.resource_id == cluster.record.writer_id:
            with instance.lock:
                return instance.resource_id == cluster.record.writer_id and _switch_over(cluster, supervisor)
        # Before end(), which joins the supervisor's thread and so must run without the instance's lock.
        instance.closing.set()
        supervisor.end()
        with instance.lock:
            # A failover may have held this lock until now and made the instance the writer. Then try again as a writer.
            cluster.dismiss(instance)
            return instance.resource_id != cluster.record.writer_id


def _switch_over(cluster: Cluster, supervisor: Supervisor) -> bool:
    """Switch the writer over to a reader; return whether it is no longer the writer. The caller holds its lock."""
    closing = supervisor.instance.closing
    if all(each.closing.is_set() for each in cluster.readers):
        # No reader stays that could be promoted: the cluster has no writer from here on.
        closing.set()
        cluster.close_endpoints()
        cluster.remember(writer_id=None)
        return True
    if cluster.promotion_target() is None:
        return False
    closing.set()  # keeps it from following the next writer
    try:
        supervisor.fail_over("requested")
    except LocalError as error:
        closing.clear()
        _log.info("%s cannot be switched over yet: %s", supervisor.instance.resource_id, error)
        return False
    return True


def fail_over(cluster: Cluster, target_id: str | None, find: Callable[[str], Supervisor]) -> None:
    """Promote a reader on request, once it is in sync.

    Raises:
        LocalError: there is no such reader, or it does not come in sync.
    """
    writer = cluster.writer
    if target_id == writer.resource_id:
        return
    if not cluster.readers:
        raise LocalError(f"{cluster.resource_id} has no reader to fail over to: create a second instance in it")
    if not poll(lambda: cluster.promotion_target(target_id) is not None, timeout=_IN_SYNC, interval=0.02):
        raise LocalError(f"no such reader of {cluster.resource_id} is in sync: failing over would lose writes")
    supervisor = find(writer.resource_id)
    assert isinstance(supervisor, MemberSupervisor)
    with writer.lock:
        # Another failover may have changed the writer during the wait. Its result satisfies this request too.
        if cluster.writer is writer:
            supervisor.fail_over("requested", target_id)
