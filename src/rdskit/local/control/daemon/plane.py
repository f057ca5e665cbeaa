"""Compose the control plane: moto's services, their state on disk, and the servers behind RDS."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from moto.rds.models import rds_backends
from moto.sqs.models import Queue

from rdskit.errors import LocalError
from rdskit.local.control.daemon.deliveries import HttpDeliveries
from rdskit.local.control.daemon.injection import requested
from rdskit.local.control.http.access import Access
from rdskit.local.control.http.gateway import Gateway, Route
from rdskit.local.control.http.server import Server
from rdskit.local.control.iam.administrator import register
from rdskit.local.control.iam.iam_endpoints import iam_endpoint
from rdskit.local.control.iam.verification import TokenVerifier
from rdskit.local.control.monitor import Monitor
from rdskit.local.control.rds import managed_secrets
from rdskit.local.control.rds.clusters import Clusters
from rdskit.local.control.rds.engines import Engines, standard
from rdskit.local.control.rds.events import EVENTS
from rdskit.local.control.rds.models import LocalRDSBackend
from rdskit.local.control.rds.responses import LocalRDSResponse
from rdskit.local.control.rds.steps import Observe
from rdskit.local.control.rds.workflows import Workflows
from rdskit.local.control.services import SERVICES, backends_of
from rdskit.local.control.state.persistence import StateStore

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping

    from rdskit.local.control.iam.guard import Guard
    from rdskit.local.control.iam.keypair import KeyPair
    from rdskit.local.control.layout import Layout
    from rdskit.local.control.rds.cluster import LocalDBCluster
    from rdskit.local.control.rds.instance import LocalDBInstance
    from rdskit.local.fleet import Fleet, FleetEvent

__all__ = ["ControlPlane"]

_CLOSE_TIMEOUT = 20.0  # seconds


class ControlPlane:
    """The AWS API of one local RDS. Only one per process: moto keeps its services in global variables.

    Args:
        layout: the files of the local RDS.
        fleet: the servers, already started.
        key_pair: the key pair to register in the local IAM.
        guard: the checks on callers.
    """

    def __init__(self, layout: Layout, fleet: Fleet, key_pair: KeyPair, guard: Guard) -> None:
        self._monitor = Monitor()
        self._key_pair = key_pair
        self._access = Access(self._monitor, verify=guard.verify_signatures, enforce=guard.enforce_iam)
        self._fleet = fleet
        self._store = StateStore(layout.state, SERVICES, key_pair.secret_access_key)
        self._workflows = Workflows(fleet, self._monitor, self._save)
        self._deliveries = HttpDeliveries()
        self._verify_token = TokenVerifier(self._monitor, lambda name: iam_endpoint(name, self._backends()))
        self._engines = standard(layout.fleet / "engines", self._monitor)
        self._install(self._engines)
        # All seals are verified before any backend is restored: a damaged file must not lead to half a state.
        with self._monitor:
            self._store.verify()
            register(key_pair)
            self._reconcile()
            self._store.save(SERVICES)

    def server(self, listener: socket.socket, health: Callable[[], object]) -> Server:
        """Return the HTTP server of the AWS API and of the local RDS's own pages.

        Args:
            listener: the listening socket.
            health: returns the content of the page ``health``.
        """
        routes = [
            Route("health", lambda _: health()),
            Route("instances", lambda _: self.instances()),
            Route("clusters", lambda _: self.clusters()),
            Route("failovers", self._failovers),
            Route("faults", self._inject, method="POST"),
            Route("faults/clear", self._clear, method="POST"),
        ]
        gateway = Gateway(self._monitor, self._store, self._access, self._key_pair, routes)
        return Server(gateway, listener)

    def instances(self) -> list[dict[str, object]]:
        """Return a summary of every instance; of its secret only the ARN."""
        with self._monitor:
            found = [_summary(each) for each in self._instances()]
        # Outside the monitor, like every call that may reach an instance.
        return [each | {"faults": self._faults_of(str(each["resource_id"]))} for each in found]

    def _faults_of(self, resource_id: str) -> list[dict[str, object]]:
        """Return the faults in force in an instance; none while its servers are created or removed."""
        try:
            faults = self._fleet.describe(resource_id).faults
        except LocalError:
            return []
        return [asdict(each) for each in sorted(faults, key=lambda each: each.kind)]

    def clusters(self) -> list[dict[str, object]]:
        """Return a summary of every DB cluster: its writer, and the readers that could be promoted without loss."""
        with self._monitor:
            names = {each.dbi_resource_id: each.db_instance_identifier for each in self._instances()}
            found = {each.identifier: self._fleet.describe_cluster(each.resource_id) for each in self._clusters()}
        return [
            {
                "identifier": identifier,
                "endpoint": facts.endpoint.host,
                "reader_endpoint": facts.reader_endpoint.host,
                "port": facts.endpoint.port,
                "writer": names.get(facts.writer_id or ""),
                "in_sync": sorted(names[each] for each in facts.in_sync if each in names),
            }
            for identifier, facts in found.items()
        ]

    def notice(self, event: FleetEvent) -> None:
        """Record an event of the servers. Called by threads of the fleet; must not call the fleet."""
        # The caller holds an instance's lock, which comes before the monitor in the lock order. A call of the fleet
        # here could wait for another instance's lock while its thread waits for the monitor.
        with self._monitor:
            if self._record_of_cluster(event):
                return
            instance = self._by_resource_id().get(event.resource_id)
            if instance is None or instance.status in ("creating", "deleting"):
                # Events during creation and deletion are part of these steps, which report their own result.
                return
            kind = event.kind if event.kind in EVENTS else "notice"
            instance.backend.record(instance, kind, reason=event.message)  # type: ignore[attr-defined]  # always ours
            # A step in progress sets the status itself at its end.
            if event.kind == "stopped-unexpectedly" and not instance.steps:
                instance.running = False
                instance.show_whether_running()
            # The event may be older than what the servers do now: a step reads their state, outside the monitor.
            self._workflows.begin(instance, Observe())
            self._save()
            self._monitor.announce()

    def _record_of_cluster(self, event: FleetEvent) -> bool:
        for backend in self._backends():
            clusters = Clusters(backend)
            for each in clusters.all():
                if each.resource_id == event.resource_id:
                    clusters.record(each, event.kind, reason=event.message)
                    self._save()
                    self._monitor.announce()
                    return True
        return False

    def judge(self, endpoint: str, user: str, token: str) -> str:
        """Return why an endpoint must refuse a token; empty to accept it. Called by the fleet in any thread."""
        return self._verify_token(endpoint, user, token)

    def close(self) -> None:
        """Let steps in progress finish, and save the state."""
        # Steps may send events to SNS, so deliveries end after them. The last save includes all of it.
        self._workflows.close(_CLOSE_TIMEOUT)
        self._engines.close(_CLOSE_TIMEOUT)
        self._deliveries.close()
        with self._monitor:
            self._store.save(SERVICES)

    def _install(self, engines: Engines) -> None:
        """Install rdskit's classes in moto."""
        # moto creates backends and responses itself, without arguments of ours: they find workflows, engines, fleet and
        # monitor as class attributes.
        rds_backends.clear()
        rds_backends.backend = LocalRDSBackend
        LocalRDSBackend.workflows = self._workflows
        LocalRDSBackend.engines = engines
        LocalRDSBackend.fleet = self._fleet
        LocalRDSResponse.monitor = self._monitor
        # Long polling of SQS: moto would wait while it holds the monitor, so that no message could be sent. The gateway
        # announces after each call that sends.
        Queue.wait_for_messages = lambda queue, timeout: self._monitor.wait_until(  # type: ignore[assignment, method-assign]
            lambda: bool(queue.messages), timeout
        )
        managed_secrets.install()
        self._deliveries.install()
        self._store.attach()

    def _reconcile(self) -> None:
        """Restore saved instances and continue interrupted steps; check the other instances' servers."""
        # A backend is restored when it is first asked for. Instances of regions that no client asks for must run too.
        for key in self._store.saved("rds"):
            self._store.resolve(key)
        for instance in self._instances():
            # The status was saved before the daemon ended: the servers may have come back differently.
            if not instance.steps and instance.status in ("available", "storage-full"):
                self._workflows.begin(instance, Observe())
            self._workflows.resume(instance)

    def _backends(self) -> Iterator[LocalRDSBackend]:
        # A copy: a request for another region adds a backend while a caller iterates.
        for _, _, backend in list(backends_of("rds").iter_backends()):
            assert isinstance(backend, LocalRDSBackend)
            yield backend

    def _instances(self) -> Iterator[LocalDBInstance]:
        for backend in self._backends():
            yield from backend.instances()

    def _clusters(self) -> Iterator[LocalDBCluster]:
        for backend in self._backends():
            yield from Clusters(backend).all()

    def _by_resource_id(self) -> dict[str, LocalDBInstance]:
        return {each.dbi_resource_id: each for each in self._instances()}

    def _save(self) -> None:
        # The services that steps and events change: secrets, and messages of event subscriptions.
        self._store.save(("rds", "secretsmanager", "sqs", "sns"))

    def _inject(self, asked: Mapping[str, Any]) -> dict[str, object]:
        # The id is looked up inside the monitor, the injection runs outside it: it takes the instance's lock.
        identifier, fault, lasting = requested(asked)
        self._fleet.inject(self._resource_id(identifier), fault, lasting=lasting)
        return {"identifier": identifier, **asdict(fault), "lasting": lasting}

    def _clear(self, asked: Mapping[str, Any]) -> dict[str, object]:
        identifier = str(asked.get("identifier"))
        cleared = self._fleet.clear_faults(self._resource_id(identifier))
        return {"identifier": identifier, "cleared": sorted(each.kind for each in cleared)}

    def _resource_id(self, identifier: str) -> str:
        with self._monitor:
            found = [each for each in self._instances() if each.db_instance_identifier == identifier.lower()]
            if not found:
                known = ", ".join(each.db_instance_identifier for each in self._instances())
                raise LocalError(f"there is no DB instance {identifier}: this local RDS has {known or 'none'}")
            return found[0].dbi_resource_id

    def _failovers(self, query: Mapping[str, str]) -> list[dict[str, object]]:
        with self._monitor:
            names = {each.dbi_resource_id: each.db_instance_identifier for each in self._instances()}
            names |= {each.resource_id: each.identifier for each in self._clusters()}
        wanted = query.get("identifier")
        return [
            {
                "identifier": names.get(record.resource_id),
                "resource_id": record.resource_id,
                "cause": record.cause,
                "at": record.at.isoformat(),
                "promotion_ms": record.promotion_ms,
                "detection_ms": record.detection_ms,
            }
            for record in self._fleet.failovers()
            if wanted in (None, names.get(record.resource_id))
        ]


def _summary(instance: LocalDBInstance) -> dict[str, object]:
    address, port = instance.served_at or (None, None)
    return {
        "identifier": instance.db_instance_identifier,
        "resource_id": instance.dbi_resource_id,
        "region": instance.region,
        "engine": f"{instance.engine} {instance.engine_version}",
        "status": instance.status,
        "address": address,
        "port": port,
        "zone": instance.zones[0],
        "secondary_zone": instance.secondary_availability_zone,
        "replica_of": instance.read_replica_source_db_instance_identifier,
        "user": instance.master_username,
        "database": instance.db_name,
        "secret": secret.secret_arn if (secret := vars(instance).get("master_user_secret")) else None,
    }
