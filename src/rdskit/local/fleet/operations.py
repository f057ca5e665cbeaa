"""What can be asked of one instance. Each operation takes the instance's lock itself."""

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

_IN_SYNC: Final = 120.0
_WRITABLE: Final = 30.0


def create(supervisor: Supervisor, spec: InstanceSpec) -> None:
    """Make the servers of a new instance, up to the master user's first login through the endpoint."""
    instance = supervisor.instance
    with instance.lock:
        server = instance.primary.server
        server.init(instance.context.store.templates)
        instance.start_primary()
        server.set_up(spec)
        instance.accept()
        instance.remember(proven=instance.record.parameters)
    supervisor.begin()
    if spec.multi_az:
        add_standby(supervisor)
    _check_login(instance, spec)


def create_replica(supervisor: Supervisor) -> None:
    """Make the server of a new read replica."""
    instance = supervisor.instance
    with instance.lock:
        replication.build(instance)
        instance.accept()
        instance.remember(proven=instance.record.parameters)
    supervisor.begin()


def bring_back(supervisor: Supervisor) -> None:
    """Start a recorded instance after the fleet's own start."""
    instance = supervisor.instance
    with instance.lock:
        if not instance.record.stopped:
            try:
                supervisor.restart_primary()
            except LocalError as error:
                # The watch goes on trying; the other instances are none the worse.
                instance.context.report(instance.resource_id, "stopped-unexpectedly", str(error))
    supervisor.begin()


def shut_down(supervisor: Supervisor) -> None:
    """Stop everything of an instance; the data stay."""
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
        instance.context.endpoints.remove(instance.resource_id)
        for node in instance.nodes:
            node.discard()
        instance.context.forget(instance.record)


def add_standby(supervisor: Supervisor) -> None:
    """Make a standby and wait until it is in sync; one that is there already is fine.

    Raises:
        LocalError: it was not in sync in time; the work goes on in the background.
    """
    instance = supervisor.instance
    with instance.lock:
        if instance.is_replica:
            raise LocalError(f"{instance.resource_id} is a read replica, which has no standby: promote it first")
        if instance.record.standby is not None:
            return
        node = _other_node(instance)
        instance.remember(standby=node)
        instance.adopt_standby(node)
        restoration = supervisor.restore_standby(Way.CLONE)
    if not restoration.wait(_IN_SYNC):
        raise LocalError(f"the standby of {instance.resource_id} is not in sync after {_IN_SYNC:g} s: see its log")


def remove_standby(supervisor: Supervisor) -> None:
    """Take the standby away; none is fine."""
    instance = supervisor.instance
    with instance.lock:
        standby = instance.standby
        if standby is None:
            return
        supervisor.cancel_restoration()
        instance.release_writers()
        instance.remember(standby=None)
        instance.standby = None
        standby.discard()
        instance.context.addresses.release(standby.record.address)


def apply_parameters(supervisor: Supervisor, parameters: Mapping[str, str]) -> frozenset[str]:
    """Set exactly these parameters; returns those that wait for a reboot."""
    instance = supervisor.instance
    for name, reason in instance.engine.translate(parameters).ignored.items():
        _log.warning("%s: parameter %s has no effect: %s", instance.resource_id, name, reason)
    with instance.lock:
        before = instance.record.parameters
        instance.remember(parameters=dict(parameters))
        try:
            _configure_and_apply(instance)
        except LocalError:
            instance.remember(parameters=before)
            _configure_and_apply(instance)
            raise
        if instance.record.stopped:
            return frozenset()
        instance.accept()
        return instance.refresh_pending()


def reboot(supervisor: Supervisor, replicas: list[Instance]) -> None:
    """Restart the servers in their places, with the parameters that wait for it."""
    instance = supervisor.instance
    with instance.lock:
        _raise_limits(instance, replicas)
        supervisor.cancel_restoration()
        instance.refuse()
        _stop_servers(instance)
        supervisor.restart_primary()


def fail_over(supervisor: Supervisor) -> None:
    """Promote the standby, as asked; waits until it is in sync."""
    instance = supervisor.instance
    if instance.record.standby is None:
        raise LocalError(f"{instance.resource_id} is not Multi-AZ, so it cannot fail over: modify it, or just reboot")
    if not poll(lambda: instance.in_sync, timeout=_IN_SYNC, interval=0.02):
        raise LocalError(f"the standby of {instance.resource_id} is not in sync: failing over would lose writes")
    with instance.lock:
        supervisor.fail_over("requested")


def allocate_storage(instance: Instance) -> None:
    """End a full disk; its watch starts the servers again."""
    faults.clear(instance, {each for each in instance.faults if each.kind == "full-disk"})
    if not poll(lambda: instance.accepting, timeout=_IN_SYNC, interval=0.02):
        raise LocalError(f"{instance.resource_id} has storage again and does not start: see its log")


def stop(supervisor: Supervisor) -> None:
    """Stop the servers; stopped ones are fine."""
    instance = supervisor.instance
    with instance.lock:
        instance.remember(stopped=True)
        supervisor.cancel_restoration()
        instance.refuse()
        _stop_servers(instance)


def start(supervisor: Supervisor) -> None:
    """Start stopped servers; running ones are fine."""
    instance = supervisor.instance
    with instance.lock:
        if instance.record.stopped:
            instance.remember(stopped=False)
            supervisor.restart_primary()


def promote(supervisor: Supervisor) -> None:
    """Make a read replica an instance of its own; one that is that already is fine."""
    instance = supervisor.instance
    with instance.lock:
        if not instance.is_replica:
            return
        server = instance.primary.server
        server.promote()
        with server.open_writer() as session:
            if not poll(lambda: server.heartbeat(session, timeout=_WRITABLE), timeout=_WRITABLE):
                raise LocalError(f"{instance.resource_id} was not promoted within {_WRITABLE:g} s: see its log")
        instance.remember(source_id=None)
        instance.source = None
        _configure_and_apply(instance)
        instance.primary.reset_health()


def set_master_password(supervisor: Supervisor, password: str) -> None:
    """Give the master user another password."""
    with supervisor.instance.lock:
        supervisor.instance.primary.server.set_password(supervisor.instance.record.master_user, password)


def _configure_and_apply(instance: Instance) -> None:
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
    """The standby last: a primary that stops hands everything over first."""
    try:
        instance.release_writers()
    except LocalError as error:
        _log.warning("%s: writers are not released before the stop: %s", instance.resource_id, error)
    for node in instance.nodes:
        node.server.stop()
        node.reset_health()


def _raise_limits(instance: Instance, replicas: list[Instance]) -> None:
    """Restart read replicas first where a limit rises: one below its source's would stop replaying."""
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
    present = instance.record.primary
    first, second = instance.record.zones
    return NodeRecord(
        name="b" if present.name == "a" else "a",
        address=instance.context.addresses.allocate(),
        zone=second if present.zone == first else first,
    )


def _check_login(instance: Instance, spec: InstanceSpec) -> None:
    account = Account(spec.master_user, spec.master_password)
    instance.engine.login(instance.record.endpoint, account, spec.database, instance.context.authority.ensure())
