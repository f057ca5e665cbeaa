"""Run the fleet: real servers for every DB instance, supervised and brought back after a crash."""

from __future__ import annotations

import fcntl
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.certificates import LocalAuthority
from rdskit.local.endpoints.process import EndpointProcess, refuse_all
from rdskit.local.engines.addresses import AddressBook
from rdskit.local.engines.processes import end_orphans
from rdskit.local.engines.session import Account
from rdskit.local.fleet import catalog, faults, operations
from rdskit.local.fleet.clusters import membership
from rdskit.local.fleet.clusters.registry import Clusters
from rdskit.local.fleet.engine import ADMIN
from rdskit.local.fleet.fleet_context import FleetContext
from rdskit.local.fleet.instance import Instance
from rdskit.local.fleet.store import InstanceRecord, NodeRecord, Store
from rdskit.local.fleet.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.fault_model import Fault
    from rdskit.local.fleet.model import (
        ClusterFacts,
        CustomEndpoint,
        FailoverRecord,
        FleetEvent,
        InstanceFacts,
        InstanceSpec,
    )

_log = logging.getLogger(__name__)

_PARALLEL: Final = 4  # starts or stops at once, so that many instances do not recover at the same time


class Fleet:
    """All real servers of one data directory. Methods may be called from any thread.

    Operations on one instance run one after the other, operations on different instances at the same time.

    Args:
        root: the data directory; nothing is written elsewhere.
        notify: called with each event, from the fleet's own threads; must not call the fleet.
        verify_token: called with a resource id, a user and an IAM token; returns why the token is refused, or "".
    """

    def __init__(
        self,
        root: Path,
        *,
        notify: Callable[[FleetEvent], None],
        verify_token: Callable[[str, str, str], str] = refuse_all,
    ) -> None:
        self._store = Store(root)
        self._notify = notify
        self._supervisors: dict[str, Supervisor] = {}
        # Guards the table of supervisors only. Not reentrant: code that runs under it must not list the instances, for
        # example through ``Cluster.members``.
        self._lock = threading.Lock()
        self._endpoints = EndpointProcess(verify_token)
        self._owner: IO[str] | None = None
        self._started_context: FleetContext | None = None
        self._engines = catalog.standard()
        self._clusters = Clusters(self._store.root, lambda: [supervisor.instance for supervisor in self._all()])
        self._fault_timers = faults.FaultTimers()

    def start(self) -> None:
        """Kill what a crashed daemon left running, and start everything that is recorded.

        Raises:
            LocalError: another process runs this fleet.
        """
        self._store.ensure()
        self._owner = _lock_fleet(self._store.root / "fleet.lock")
        try:
            self._bring_up()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop all servers cleanly. No process stays; the state stays on disk."""
        self._fault_timers.close()
        self._for_each(operations.shut_down, self._all())
        self._supervisors.clear()
        # After the servers: a client gets the server's own shutdown message through the endpoint.
        self._endpoints.close()
        # The lock last, so that no other fleet starts servers on these data before ours have ended.
        if self._owner is not None:
            self._owner.close()
            self._owner = None

    @property
    def authority(self) -> Path:
        """File of the local certificate authority, with which clients verify every endpoint."""
        return self._context.authority.ensure()

    def create_cluster(self, resource_id: str, engine: str, port: int) -> ClusterFacts:
        """Create a DB cluster without instances. Its endpoints refuse connections until it has one.

        Args:
            resource_id: ``cluster-ABC…``.
            engine: ``aurora-postgresql`` or ``aurora-mysql``; of a Multi-AZ DB cluster ``postgres`` or ``mysql``.
            port: of its endpoints; honored on Linux only.
        """
        return self._clusters.create(self._context, resource_id, engine, port).facts()

    def describe_cluster(self, resource_id: str) -> ClusterFacts:
        """Return the present state of a DB cluster.

        Raises:
            LocalError: there is no such cluster.
        """
        return self._clusters.find(resource_id).facts()

    def fail_over_cluster(self, resource_id: str, target_id: str | None = None) -> None:
        """Promote a reader of a cluster, once it is in sync.

        Args:
            resource_id: of the cluster.
            target_id: the instance to promote; None chooses the lowest promotion tier.

        Raises:
            LocalError: there is no such reader, or it does not come in sync.
        """
        membership.fail_over(self._clusters.find(resource_id), target_id, self._supervisor)

    def delete_cluster(self, resource_id: str) -> None:
        """Remove a DB cluster without instances.

        Raises:
            LocalError: there is no such cluster, or it has instances: delete those first.
        """
        self._clusters.delete(self._context, resource_id)

    def set_custom_endpoint(self, cluster_id: str, endpoint: CustomEndpoint) -> Endpoint:
        """Create a custom endpoint of a cluster, or change its members; return where it listens."""
        return self._clusters.find(cluster_id).set_custom(endpoint)

    def remove_custom_endpoint(self, cluster_id: str, name: str) -> None:
        """Remove a custom endpoint of a cluster. Does nothing if it does not exist."""
        self._clusters.find(cluster_id).remove_custom(name)

    def create(self, spec: InstanceSpec) -> Endpoint:
        """Create a DB instance and start its servers.

        Returns:
            Its endpoint, which accepts the master user's login. A standby is in sync.

        Raises:
            LocalError: it exists, its port is taken, or its servers do not start. Nothing is left of it then.
        """
        engine = self._engines.engine(spec.engine)
        engine.check_master_user(spec.master_user)
        engine.prepare()
        supervisor = self._reserve(spec, source_id=None)
        if spec.cluster_id is not None:
            cluster = self._clusters.find(spec.cluster_id)
            self._or_remove(supervisor, lambda: membership.join(cluster, supervisor, spec))
        else:
            self._or_remove(supervisor, lambda: operations.create(supervisor, spec))
        return supervisor.instance.facts().endpoint

    def create_replica(self, spec: InstanceSpec, source_id: str) -> Endpoint:
        """Create a read replica that streams asynchronously from another instance.

        Args:
            spec: the replica; its roles and databases are its source's.
            source_id: the instance that it replicates from.

        Raises:
            LocalError: the source does not exist, is a replica itself, or does not run.
        """
        source = self._supervisor(source_id).instance
        if spec.engine != source.record.engine:
            raise LocalError(f"{source_id} runs {source.record.engine}: its replica cannot run {spec.engine}")
        if source.is_replica:
            raise LocalError(f"{source_id} is a read replica itself: make the replica from {source.record.source_id}")
        supervisor = self._reserve(spec, source_id=source_id)
        self._or_remove(supervisor, lambda: operations.create_replica(supervisor))
        return supervisor.instance.facts().endpoint

    def set_multi_az(self, resource_id: str, enabled: bool) -> None:  # noqa: FBT001 - one obvious argument
        """Add a synchronous standby and wait until it is in sync, or remove it."""
        (operations.add_standby if enabled else operations.remove_standby)(self._supervisor(resource_id))

    def set_master_password(self, resource_id: str, password: str) -> None:
        """Change the master user's password."""
        operations.set_master_password(self._supervisor(resource_id), password)

    def set_iam(self, resource_id: str, enabled: bool) -> None:  # noqa: FBT001 - one obvious argument
        """Enable or disable logins of IAM users; existing connections stay."""
        operations.set_iam(self._supervisor(resource_id), enabled=enabled)

    def apply_parameters(self, resource_id: str, parameters: Mapping[str, str]) -> frozenset[str]:
        """Set exactly these parameters; parameters that are not named return to their defaults.

        Returns:
            The parameters that wait for a reboot.

        Raises:
            LocalError: the server refuses a parameter, or RDS does not let users change it. Nothing has changed then.
        """
        return operations.apply_parameters(self._supervisor(resource_id), parameters)

    def reboot(self, resource_id: str, *, force_failover: bool = False) -> None:
        """Restart an instance's servers, or fail over to the standby.

        Args:
            resource_id: of the instance.
            force_failover: promote the standby, once it is in sync.

        Raises:
            LocalError: there is no standby, or the server does not start with its parameters. It runs with the former
                ones
                then.
        """
        supervisor = self._supervisor(resource_id)
        if force_failover:
            operations.fail_over(supervisor)
        else:
            operations.reboot(supervisor, self._replicas_of(resource_id))

    def stop(self, resource_id: str) -> None:
        """Stop an instance's servers; the data stay. Does nothing if it is stopped."""
        operations.stop(self._supervisor(resource_id))

    def start_instance(self, resource_id: str) -> None:
        """Start a stopped instance. Does nothing if it runs."""
        operations.start(self._supervisor(resource_id))

    def delete(self, resource_id: str) -> None:
        """Remove an instance, its servers and its data.

        Raises:
            LocalError: there is no such instance, or it has read replicas: promote or delete those first.
        """
        # A cluster's readers are replicas of its writer too. There the writer hands over instead: see
        # membership.leave().
        replicas = self._replicas_of(resource_id)
        if replicas and self._supervisor(resource_id).instance.record.cluster_id is None:
            raise LocalError(
                f"{resource_id} has the read replica {replicas[0].resource_id}: promote or delete it first"
            )
        self._drop(self._supervisor(resource_id))

    def promote_replica(self, resource_id: str) -> None:
        """Make a read replica an independent instance. Does nothing if it is one."""
        operations.promote(self._supervisor(resource_id))

    def describe(self, resource_id: str) -> InstanceFacts:
        """Return the present state of an instance.

        Raises:
            LocalError: there is no such instance.
        """
        return self._supervisor(resource_id).instance.facts()

    def inject(self, resource_id: str, fault: Fault, *, lasting: float | None = None) -> None:
        """Inject a fault into an instance.

        Args:
            resource_id: of the instance.
            fault: what happens.
            lasting: seconds after which it is cleared; None keeps it until :meth:`clear_faults`.

        Raises:
            LocalError: there is no such instance, or it cannot have this fault.
        """
        supervisor = self._supervisor(resource_id)
        faults.inject(supervisor, fault, self._replicas_of(resource_id))
        if lasting is not None:
            self._fault_timers.end_after(lasting, supervisor.instance, fault)

    def clear_faults(self, resource_id: str) -> frozenset[Fault]:
        """Clear all faults of an instance; return those that were in force."""
        instance = self._supervisor(resource_id).instance
        return faults.clear(instance, instance.faults)

    def allocate_storage(self, resource_id: str) -> None:
        """Give an instance whose storage is used up more of it; wait until it accepts clients again."""
        operations.allocate_storage(self._supervisor(resource_id).instance)

    def failovers(self) -> list[FailoverRecord]:
        """Return the failovers of all instances and clusters, oldest first."""
        found = [each for supervisor in self._all() for each in supervisor.instance.record.failovers]
        found += [each for cluster in self._clusters.all() for each in cluster.record.failovers]
        return sorted(found, key=lambda each: each.at)

    @property
    def _context(self) -> FleetContext:
        if self._started_context is None:
            raise LocalError("the fleet is not started: call start() first")
        return self._started_context

    def _bring_up(self) -> None:
        # Before anything starts: an orphan still has its port and its data directory, and may still accept commits.
        left = end_orphans(self._store.root)
        if left:
            _log.warning("killed %d processes that an earlier local RDS left running", len(left))
        records = list(self._store.load())
        self._started_context = FleetContext(
            store=self._store,
            addresses=AddressBook(self._store.root, [each for record in records for each in record.addresses]),
            authority=LocalAuthority(self._store.root),
            endpoints=self._endpoints,
            account=Account(ADMIN, self._store.admin_password()),
            notify=self._notify,
            engines=self._engines,
        )
        self._context.authority.ensure()
        # The listeners first: every instance sends its endpoint's state there as soon as it has started.
        self._endpoints.start()
        # Clusters before their instances, because a member asks its cluster whether it is the writer.
        self._clusters.load(self._context)
        for record in records:
            self._register(record)
        # Sources before replicas: a replica compares its history with its source's when it starts, which needs a
        # running source.
        for replicas in (False, True):
            self._for_each(
                operations.bring_back,
                [supervisor for supervisor in self._all() if supervisor.instance.is_replica is replicas],
            )

    def _reserve(self, spec: InstanceSpec, source_id: str | None) -> Supervisor:
        # Refused parameters must fail before an address or a directory is taken.
        self._engines.engine(spec.engine).translate(spec.parameters)
        with self._lock:
            if spec.resource_id in self._supervisors:
                raise LocalError(f"{spec.resource_id} exists already: delete it first")
            # Removes what a crash during an earlier creation left under this key.
            self._store.forget(spec.resource_id)
            addresses = self._context.addresses
            record = InstanceRecord(
                resource_id=spec.resource_id,
                engine=spec.engine,
                master_user=spec.master_user,
                endpoint=addresses.allocate(spec.port),
                zones=spec.zones,
                primary=NodeRecord("a", addresses.allocate(), spec.zones[0]),
                standby=None,
                parameters=dict(spec.parameters),
                proven=dict(spec.parameters),
                source_id=source_id,
                iam=spec.iam,
                cluster_id=spec.cluster_id,
                identifier=spec.identifier,
                tier=spec.tier,
            )
            return self._register(record)

    def _register(self, record: InstanceRecord) -> Supervisor:
        """Add a recorded instance to the table. The caller holds the fleet's lock, or is the only thread."""
        source_id = record.source_id
        if record.cluster_id is not None:
            self._supervisors[record.resource_id] = membership.member(self._context, record, self._clusters)
            return self._supervisors[record.resource_id]
        source = (lambda: self._supervisor(source_id).instance) if source_id else None
        instance = Instance(self._context, record, source)
        supervisor = Supervisor(instance, lambda: self._replicas_of(record.resource_id))
        self._supervisors[record.resource_id] = supervisor
        return supervisor

    def _or_remove(self, supervisor: Supervisor, work: Callable[[], None]) -> None:
        """Run the work on a new instance; remove the instance if the work fails."""
        try:
            work()
        # Also for KeyboardInterrupt: a half-created instance would keep its port and its processes.
        except BaseException:
            self._drop(supervisor)
            raise

    def _drop(self, supervisor: Supervisor) -> None:
        cluster_id = supervisor.instance.record.cluster_id
        if cluster_id is not None:
            membership.leave(self._clusters.find(cluster_id), supervisor)
        # Out of the table only afterwards, so that no new instance takes the key while the old files are being
        # deleted.
        operations.delete(supervisor)
        with self._lock:
            self._supervisors.pop(supervisor.instance.resource_id, None)
        if cluster_id is not None:
            self._clusters.find(cluster_id).refresh()

    def _supervisor(self, resource_id: str) -> Supervisor:
        with self._lock:
            supervisor = self._supervisors.get(resource_id)
        if supervisor is None:
            raise LocalError(f"there is no instance {resource_id}")
        return supervisor

    def _all(self) -> list[Supervisor]:
        with self._lock:
            return list(self._supervisors.values())

    def _replicas_of(self, resource_id: str) -> list[Instance]:
        return [supervisor.instance for supervisor in self._all() if supervisor.instance.follows(resource_id)]

    def _for_each(self, work: Callable[[Supervisor], None], supervisors: Iterable[Supervisor]) -> None:
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="rdskit-fleet") as pool:
            for _ in pool.map(work, supervisors):
                pass


def _lock_fleet(file: Path) -> IO[str]:
    """Take the lock that shows which process runs a fleet.

    The operating system releases a flock when its holder ends, however it ends.

    Raises:
        LocalError: another process holds it.
    """
    lock = file.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise LocalError(f"{file.parent} is in use by another local RDS: stop that one first") from error
    return lock
