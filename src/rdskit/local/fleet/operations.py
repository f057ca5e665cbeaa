"""Carry out the operations on one instance. Each operation acquires the instance's lock itself."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.engines.session import Account
from rdskit.local.engines.waiting import poll
from rdskit.local.fleet import faults
from rdskit.local.fleet import replicas as replication
from rdskit.local.fleet.standby import Way
from rdskit.local.fleet.store import NodeRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdskit.local.fleet.instance import Instance
    from rdskit.local.fleet.model import InstanceSpec
    from rdskit.local.fleet.supervisor import Supervisor

_log = logging.getLogger(__name__)

_IN_SYNC: Final = 120.0  # seconds, including the copy of the database
_WRITABLE: Final = 30.0  # seconds until a promoted replica must accept a write


def create(supervisor: Supervisor, spec: InstanceSpec) -> None:
    """Create the servers of a new instance; return when the master user can log in through the endpoint."""
    instance = supervisor.instance
    with instance.lock:
        server = instance.primary.server
        server.init(instance.context.store.templates)
        instance.start_primary()
        server.set_up(spec)
        instance.accept()
        instance.remember(proven=instance.record.parameters)
    # Only now: the supervisor would take a server that is not started yet for one that failed.
    supervisor.begin()
    if spec.multi_az:
        add_standby(supervisor)
    _check_login(instance, spec)


def create_replica(supervisor: Supervisor) -> None:
    """Create the server of a new read replica."""
    instance = supervisor.instance
    with instance.lock:
        replication.build(instance)
        instance.accept()
        instance.remember(proven=instance.record.parameters)
    supervisor.begin()


def bring_back(supervisor: Supervisor) -> None:
    """Start a saved instance when the fleet starts."""
    instance = supervisor.instance
    with instance.lock:
        if not instance.record.stopped:
            try:
                supervisor.restart_primary()
            except LocalError as error:
                # Not raised: the supervisor keeps trying, and one broken instance must not keep the fleet from
                # starting.
                instance.context.report(instance.resource_id, "stopped-unexpectedly", str(error))
    supervisor.begin()


def shut_down(supervisor: Supervisor) -> None:
    """Stop the servers of an instance; its data stay."""
    # First: whatever waits for the lock now sees this flag and starts nothing. Then end() may join the thread, which
    # must happen without the lock.
    supervisor.instance.closing.set()
    supervisor.end()
    with supervisor.instance.lock:
        supervisor.instance.close_promotion_sessions()
        _stop_servers(supervisor.instance)


def delete(supervisor: Supervisor) -> None:
    """Remove an instance with its data, its certificate and its addresses."""
    instance = supervisor.instance
    instance.closing.set()
    supervisor.end()
    with instance.lock:
        instance.close_promotion_sessions()
        # The endpoint first, so that no client connects to a server that is about to be deleted.
        instance.context.endpoints.remove(instance.resource_id)
        for node in instance.nodes:
            node.discard()
        instance.context.forget(instance.record)


def add_standby(supervisor: Supervisor) -> None:
    """Create a standby and wait until it is in sync. Does nothing if there is one.

    Raises:
        LocalError: it was not in sync in time; the work continues in the background.
    """
    instance = supervisor.instance
    with instance.lock:
        if instance.is_replica:
            raise LocalError(f"{instance.resource_id} is a read replica, which has no standby: promote it first")
        if instance.record.standby is not None:
            return
        node = _other_node(instance)
        # Saved before the copy begins: after a crash the next daemon completes it.
        instance.remember(standby=node)
        instance.adopt_standby(node)
        restoration = supervisor.restore_standby(Way.CLONE)
    # Without the lock, which the restoration itself needs.
    if not restoration.wait(_IN_SYNC):
        raise LocalError(f"the standby of {instance.resource_id} is not in sync after {_IN_SYNC:g} s: see its log")


def remove_standby(supervisor: Supervisor) -> None:
    """Remove the standby and its data. Does nothing without one."""
    instance = supervisor.instance
    with instance.lock:
        standby = instance.standby
        if standby is None:
            return
        supervisor.cancel_restoration()
        # Before the standby goes: commits would wait for it without a timeout.
        instance.release_writers()
        instance.remember(standby=None)
        instance.standby = None
        # After the record: a crash in between leaves files without a record, never a record without files.
        standby.discard()
        instance.context.addresses.release(standby.record.address)


def apply_parameters(supervisor: Supervisor, parameters: Mapping[str, str]) -> frozenset[str]:
    """Set exactly these parameters; return those that wait for a reboot."""
    instance = supervisor.instance
    for name, reason in instance.engine.translate(parameters).ignored.items():
        _log.warning("%s: parameter %s has no effect: %s", instance.resource_id, name, reason)
    with instance.lock:
        before = instance.record.parameters
        instance.remember(parameters=dict(parameters))
        try:
            _configure_and_apply(instance)
        except LocalError:
            # The refusal may come after one server's file was written. Write the old values back to all of them.
            instance.remember(parameters=before)
            _configure_and_apply(instance)
            raise
        if instance.record.stopped:
            return frozenset()
        # ``rds.force_ssl`` and its like are settings of the endpoint, not of the server.
        instance.accept()
        return instance.refresh_pending()


def reboot(supervisor: Supervisor, replicas: list[Instance]) -> None:
    """Restart the servers in place, with the parameters that wait for it."""
    instance = supervisor.instance
    with instance.lock:
        _raise_limits(instance, replicas)
        supervisor.cancel_restoration()
        instance.refuse()
        _stop_servers(instance)
        supervisor.restart_primary()


def fail_over(supervisor: Supervisor) -> None:
    """Wait until the standby is in sync, then promote it on request."""
    instance = supervisor.instance
    if instance.record.standby is None:
        raise LocalError(f"{instance.resource_id} is not Multi-AZ, so it cannot fail over: modify it, or just reboot")
    # Polled without the lock, which the restoration needs. Supervisor.fail_over() checks in_sync again under it.
    if not poll(lambda: instance.in_sync, timeout=_IN_SYNC, interval=0.02):
        raise LocalError(f"the standby of {instance.resource_id} is not in sync: failing over would lose writes")
    with instance.lock:
        supervisor.fail_over("requested")


def allocate_storage(instance: Instance) -> None:
    """End the fault ``full-disk`` and wait until the supervisor has started the servers again."""
    faults.clear(instance, {each for each in instance.faults if each.kind == "full-disk"})
    if not poll(lambda: instance.accepting, timeout=_IN_SYNC, interval=0.02):
        raise LocalError(f"{instance.resource_id} has storage again and does not start: see its log")


def stop(supervisor: Supervisor) -> None:
    """Stop the servers. Does nothing if they are stopped."""
    instance = supervisor.instance
    with instance.lock:
        # First, or the supervisor would restart the servers that are about to end.
        instance.remember(stopped=True)
        supervisor.cancel_restoration()
        instance.refuse()
        _stop_servers(instance)


def start(supervisor: Supervisor) -> None:
    """Start stopped servers. Does nothing if they run."""
    instance = supervisor.instance
    with instance.lock:
        if instance.record.stopped:
            instance.remember(stopped=False)
            supervisor.restart_primary()


def promote(supervisor: Supervisor) -> None:
    """Make a read replica an independent instance. Does nothing if it is one."""
    instance = supervisor.instance
    with instance.lock:
        if not instance.is_replica:
            return
        server = instance.primary.server
        server.promote()
        # Proven by a write before the record changes: until then a crash leaves a replica, which only follows again.
        with server.open_writer() as session:
            if not poll(lambda: server.heartbeat(session, timeout=_WRITABLE), timeout=_WRITABLE):
                raise LocalError(f"{instance.resource_id} was not promoted within {_WRITABLE:g} s: see its log")
        instance.remember(source_id=None)
        instance.source = None
        _configure_and_apply(instance)
        instance.primary.reset_health()


def set_master_password(supervisor: Supervisor, password: str) -> None:
    """Change the master user's password."""
    with supervisor.instance.lock:
        supervisor.instance.primary.server.set_password(supervisor.instance.record.master_user, password)


def _configure_and_apply(instance: Instance) -> None:
    """Write the configuration of the servers, and reload those that run."""
    instance.configure()
    if not instance.record.stopped:
        instance.apply_configuration()


def set_iam(supervisor: Supervisor, *, enabled: bool) -> None:
    """Enable or disable IAM authentication at the endpoint."""
    instance = supervisor.instance
    with instance.lock:
        instance.remember(iam=enabled)
        if not instance.record.stopped:
            instance.accept()


def _stop_servers(instance: Instance) -> None:
    """Stop the primary, then the standby: a primary that stops cleanly first sends all changes to its standby."""
    try:
        # A commit in progress would wait for the standby during the shutdown and delay it to the time-out.
        instance.release_writers()
    except LocalError as error:
        _log.warning("%s: writers are not released before the stop: %s", instance.resource_id, error)
    for node in instance.nodes:
        node.server.stop()
        node.reset_health()


def _raise_limits(instance: Instance, replicas: list[Instance]) -> None:
    """Restart read replicas first if a limit rises: a replica with a lower limit than its source stops replaying."""
    # PostgreSQL: "recovery aborted because of insufficient parameter settings". Documentation: "Hot Standby",
    # "Administrator's Overview".
    if not instance.pending.intersection(instance.engine.limits):
        return
    for replica in replicas:
        with replica.lock:
            if replica.primary.server.alive:
                replica.refuse()
                replica.primary.server.stop()
                replica.start_primary()
                replica.accept()


def _other_node(instance: Instance) -> NodeRecord:
    """Return the record of a new second node, in the zone that the primary is not in."""
    present = instance.record.primary
    first, second = instance.record.zones
    return NodeRecord(
        name="b" if present.name == "a" else "a",
        address=instance.context.addresses.allocate(),
        zone=second if present.zone == first else first,
    )


def _check_login(instance: Instance, spec: InstanceSpec) -> None:
    """Log in through the endpoint as the master user."""
    account = Account(spec.master_user, spec.master_password)
    instance.engine.login(instance.record.endpoint, account, spec.database, instance.context.authority.ensure())
