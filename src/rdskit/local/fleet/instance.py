"""Represent one DB instance: its servers, its endpoint, and the record that survives this process."""

from __future__ import annotations

import threading
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rdskit.errors import LocalError
from rdskit.local.endpoints.model import Link
from rdskit.local.engines.session import SessionLost
from rdskit.local.fleet.engine import STANDBY, Member, Upstream
from rdskit.local.fleet.model import InstanceFacts
from rdskit.local.fleet.node import Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.local.endpoints.model import EndpointState
    from rdskit.local.fault_model import Fault
    from rdskit.local.fleet.engine import Engine
    from rdskit.local.fleet.fleet_context import FleetContext
    from rdskit.local.fleet.store import InstanceRecord, NodeRecord
    from rdskit.local.fleet.translation import Translation


class Instance:
    """One DB instance.

    Lock order, outermost first. A thread never acquires a lock that stands above one that it holds.

    1. ``Cluster.leaving``
    2. :attr:`lock` of a source or a cluster's writer
    3. :attr:`lock` of its replicas or readers
    4. ``Cluster.lock``
    5. ``Fleet._lock``, then ``Clusters._lock``, then the address book's lock
    6. ``Node._lock``

    Every change of an instance is made under its lock. Probes read it without: the supervisor decides again once it has
    the lock.

    Args:
        context: what the fleet shares.
        record: what is saved of it.
        source: of a read replica: finds its source.

    Attributes:
        primary: the server that the endpoint forwards to; of a read replica, its only server.
        standby: the server that a failover promotes; None without Multi-AZ.
        synchronous: whether the primary is configured to wait for its standby.
        in_sync: whether the standby is known to have every acknowledged commit.
        pending: parameters that wait for a restart.
        replica_lag: seconds behind the source, of a read replica that streams.
        diverged: of a read replica: whether it has changes that its source lost. It is out of service then.
        faults: injected faults in force; they are not saved, so a new daemon starts without any.
        delayed: replicas that the fault ``lag`` delays.
        accepting: whether its endpoint lets clients in.
        followed: of a read replica: the instance that it was last configured to follow.
        changed: called before its endpoint changes its backend.
        closing: set when nothing may start the instance again.
    """

    def __init__(
        self, context: FleetContext, record: InstanceRecord, source: Callable[[], Instance] | None = None
    ) -> None:
        self.context = context
        self.record = record
        self.source = source
        # Reentrant: a failover runs inside operations that hold the lock already.
        self.lock = threading.RLock()
        self.primary = self._node(record.primary)
        self.standby = self._node(record.standby) if record.standby else None
        self.synchronous = False
        self.in_sync = False
        self.pending: frozenset[str] = frozenset()
        self.replica_lag: float | None = None
        self.diverged = False
        # Replaced as a whole, never changed in place: facts() reads it without the lock.
        self.faults: frozenset[Fault] = frozenset()
        self.delayed: frozenset[Instance] = frozenset()
        self.accepting = False
        self.followed: str | None = None
        self.changed: Callable[[], None] = lambda: None
        self._session = str(uuid.uuid4())
        self.closing = threading.Event()

    @property
    def resource_id(self) -> str:
        """Key of the instance."""
        return self.record.resource_id

    @property
    def is_replica(self) -> bool:
        """Whether it copies another instance."""
        return self.source is not None

    def follows(self, resource_id: str) -> bool:
        """Return whether it is a read replica of that instance."""
        return self.source is not None and self.source().resource_id == resource_id

    @property
    def streaming(self) -> bool:
        """Of a read replica: whether it receives its source's changes, as last probed."""
        return self.primary.probed is not None and self.primary.probed.streaming

    @property
    def standby_streams(self) -> bool:
        """Whether the standby receives the primary's changes, as last probed on both; an unprobed one may."""
        return all(node.probed is None or node.probed.streaming for node in self.nodes)

    @property
    def engine(self) -> Engine:
        """Engine that it runs."""
        return self.context.engine(self.record)

    @property
    def member(self) -> Member:
        """Entry for this instance in the topology that a cluster publishes."""
        record = self.record
        return Member(
            identifier=record.identifier,
            name=self.resource_id,
            session=self._session,
            address=self.primary.record.address,
            region=record.zones[0][:-1],
            port=record.endpoint.port,
        )

    def remember(self, **changes: Any) -> None:
        """Change the record: first on disk, then in memory."""
        record = replace(self.record, **changes)
        # Disk first: if the save fails, memory still agrees with what a new daemon would load.
        self.context.store.save(record)
        self.record = record

    def configure(self) -> None:
        """Write the configuration of all its servers. A running server must reload or restart to use it."""
        self.primary.server.configure(self.translation.settings, self.upstream)
        if self.standby is not None and self.standby.server.data.exists():
            self.standby.server.configure(self.translation.settings, self.upstream_of_standby)

    @property
    def upstream(self) -> Upstream | None:
        """Source that its primary follows; None unless it is a read replica."""
        if self.source is None:
            return None
        # Resolved at each call: a failover of the source or of the cluster changes the server to follow.
        source = self.source()
        return Upstream(source.primary.server, self.resource_id, source.translation.settings, synchronous=False)

    @property
    def upstream_of_standby(self) -> Upstream:
        """Source that its standby follows: its own primary."""
        return Upstream(self.primary.server, STANDBY, self.translation.settings, synchronous=True)

    def apply_configuration(self) -> None:
        """Reload the configuration of the servers that run."""
        for node in self.nodes:
            if node.server.alive:
                node.server.apply()

    @property
    def nodes(self) -> list[Node]:
        """Its servers, the primary first."""
        return [self.primary, *([self.standby] if self.standby else [])]

    @property
    def translation(self) -> Translation:
        """Its parameter group, translated for a local server."""
        return self.engine.translate(self.record.parameters)

    def adopt_standby(self, record: NodeRecord) -> None:
        """Add the node of a standby, whose server is still to be created."""
        self.standby = self._node(record)

    @property
    def storage_full(self) -> bool:
        """Whether its storage is used up, so that none of its servers can run."""
        return any(fault.kind == "full-disk" for fault in self.faults)

    def check_open(self) -> None:
        """Refuse to start a server of an instance that is being closed or deleted, or that has no storage left.

        Raises:
            LocalError: one of these holds.
        """
        if self.closing.is_set():
            raise LocalError(f"{self.resource_id} is being closed: wait, then start the local RDS again")
        if self.storage_full:
            raise LocalError(f"{self.resource_id} has used up its storage: allocate more, or clear the fault full-disk")

    def start_primary(self) -> None:
        """Configure and start the server behind the endpoint.

        Raises:
            LocalError: it does not start. If its parameters are the cause, it runs with the former ones.
        """
        self.check_open()
        self._ensure_address()
        refused = None
        try:
            self._start_configured()
        except LocalError as error:
            if self.record.parameters == self.record.proven:
                raise
            # Fall back to the parameters of the last successful start, so that the instance stays usable. The error is
            # raised at the end, when the server runs again.
            refused = error
            self.remember(parameters=self.record.proven)
            self._start_configured()
        self.primary.reset_health()
        # The restart ends a black hole: packets reach the address again. The new process resets connections that the
        # old one had open.
        self.faults = frozenset(each for each in self.faults if not each.cuts_off)
        self.pending = frozenset()
        if refused:
            raise LocalError(f"{self.resource_id} runs with its former parameters: {refused}") from refused
        # Only now: a crash before this line makes the next daemon try the new parameters again.
        if self.record.proven != self.record.parameters:
            self.remember(proven=self.record.parameters)

    def accept(self) -> None:
        """Route the endpoint to the primary."""
        self.accepting = True
        self.refresh_endpoint()

    def refuse(self) -> None:
        """Refuse connections at the endpoint and reset the existing ones."""
        self.accepting = False
        self.refresh_endpoint(cut=True)

    def refresh_endpoint(self, *, cut: bool = False) -> None:
        """Send the present state of the endpoint to the endpoint process.

        Args:
            cut: reset the connections that exist.
        """
        try:
            self.changed()
        finally:
            # changed() publishes to the cluster's servers, which may not answer. Clients must be let in all the same.
            self.context.endpoints.set(self.endpoint_state(), cut=cut)

    @property
    def link(self) -> Link:
        """Condition of the network in front of its endpoint, from the injected faults."""
        holes = [each for each in self.faults if each.kind == "blackhole"]
        late = [each.seconds for each in self.faults if each.kind == "latency"]
        # A black hole of path "all" belongs to one server, hence ``primary.cut_off``: after a failover the endpoint
        # routes to a server that is reachable. One of path "client" belongs to the endpoint and survives the failover.
        black = self.primary.cut_off or any(each.path == "client" for each in holes)
        return Link(black, max(late, default=0.0), holds=bool(holes))

    def hold_writers(self) -> None:
        """Configure the primary to wait for the standby at each commit."""
        # Before the statement, which may fail after it took effect: release_writers() must then undo it.
        self.synchronous = True
        self.primary.server.require_acknowledgement(on=True)

    def release_writers(self) -> None:
        """Configure the primary to wait no longer for its standby. Nothing can be promoted from then on."""
        # Order matters: from the moment a commit may return without the standby, no failover may trust the standby.
        self.in_sync = False
        self.close_promotion_sessions()
        if self.synchronous:
            self.primary.server.require_acknowledgement(on=False)
            self.synchronous = False

    def close_promotion_sessions(self) -> None:
        """Close the connections that are kept for a promotion."""
        for node in self.nodes:
            node.close_promotion_session()

    def refresh_pending(self) -> frozenset[str]:
        """Query the primary for the parameters that wait for a restart."""
        try:
            self.pending = self.primary.server.pending_restart()
        except SessionLost as error:
            raise LocalError(f"{self.resource_id} does not answer: {error}") from error
        return self.pending

    def facts(self) -> InstanceFacts:
        """Return its present state."""
        record = self.record
        return InstanceFacts(
            resource_id=record.resource_id,
            running=self.primary.server.alive,
            endpoint=record.endpoint,
            zone=record.primary.zone,
            secondary_zone=record.standby.zone if record.standby else None,
            standby_in_sync=self.in_sync if record.standby else None,
            source_id=record.source_id,
            replica_lag=self.replica_lag,
            pending_restart=self.pending,
            engine_version=self.primary.server.version,
            storage_full=self.storage_full,
            faults=self.faults,
        )

    def _start_configured(self) -> None:
        server, upstream = self.primary.server, self.upstream
        server.configure(self.translation.settings, upstream)
        if upstream is None:
            server.start()
        else:
            server.stream(upstream)
            self.note_stream()

    def note_stream(self) -> None:
        """Record the present source as the one being followed."""
        self.followed = self.source().resource_id if self.source is not None else None

    def endpoint_state(self) -> EndpointState:
        """Return the state that its endpoint should have now."""
        backend = self.primary.server if self.accepting else None
        state = self.context.endpoint(self.record, backend, require_tls=self.translation.require_tls)
        return replace(state, link=self.link)

    def _ensure_address(self) -> None:
        """Move the primary to a new address if another process took the recorded port."""
        if not self.primary.ensure_port():
            # The endpoint hides the server's own address, so clients do not notice the move.
            moved = replace(self.record.primary, address=self.context.addresses.allocate())
            self.remember(primary=moved)
            self.primary = self._node(moved)

    def _node(self, record: NodeRecord) -> Node:
        return Node(record, self.context.server(self.record, record))

    def _standby(self) -> Node:
        if self.standby is None:
            raise LocalError(f"{self.resource_id} has no standby: set MultiAZ first")
        return self.standby
