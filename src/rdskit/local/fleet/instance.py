"""One DB instance: its servers, its endpoint and the record by which it outlives this process."""

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
    """One DB instance. Whoever changes it holds :attr:`lock`; a replica's may be taken while holding its source's.

    Args:
        context: what the fleet shares.
        record: what is remembered of it.
        source: of a read replica: finds the instance it copies.

    Attributes:
        primary: the server that the endpoint leads to; of a read replica, its one server.
        standby: the server that takes over; None without Multi-AZ.
        synchronous: the primary is configured to wait for its standby.
        in_sync: every acknowledged commit is known to be on the standby.
        pending: parameters that wait for a restart.
        replica_lag: seconds, of a read replica that streams.
        diverged: of a read replica: it has changes that its source never kept, and is out of service.
        faults: what is out of order on purpose; a new daemon knows of none.
        delayed: whom its fault ``lag`` holds back.
        accepting: its endpoint lets clients in.
        followed: of a read replica: the instance that it was last told to follow.
        changed: called when its endpoint is about to lead elsewhere.
        closing: set when the instance is no longer to be brought back by anybody.
    """

    def __init__(
        self, context: FleetContext, record: InstanceRecord, source: Callable[[], Instance] | None = None
    ) -> None:
        self.context = context
        self.record = record
        self.source = source
        self.lock = threading.RLock()
        self.primary = self._node(record.primary)
        self.standby = self._node(record.standby) if record.standby else None
        self.synchronous = False
        self.in_sync = False
        self.pending: frozenset[str] = frozenset()
        self.replica_lag: float | None = None
        self.diverged = False
        self.faults: frozenset[Fault] = frozenset()
        self.delayed: frozenset[Instance] = frozenset()
        self.accepting = False
        self.followed: str | None = None
        self.changed: Callable[[], None] = lambda: None
        self._session = str(uuid.uuid4())
        self.closing = threading.Event()

    @property
    def resource_id(self) -> str:
        """Its key."""
        return self.record.resource_id

    @property
    def is_replica(self) -> bool:
        """Whether it copies another instance."""
        return self.source is not None

    def follows(self, resource_id: str) -> bool:
        """Whether it copies that instance."""
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
        """What it runs."""
        return self.context.engine(self.record)

    @property
    def member(self) -> Member:
        """Of an instance of a cluster: what is told of it there."""
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
        """Change the record, on disk first."""
        record = replace(self.record, **changes)
        self.context.store.save(record)
        self.record = record

    def configure(self) -> None:
        """Write the configuration of all its servers; what runs must be told or restarted to use it."""
        self.primary.server.configure(self.translation.settings, self.upstream)
        if self.standby is not None and self.standby.server.data.exists():
            self.standby.server.configure(self.translation.settings, self.upstream_of_standby)

    @property
    def upstream(self) -> Upstream | None:
        """Whom its primary follows: a read replica's does."""
        if self.source is None:
            return None
        source = self.source()
        return Upstream(source.primary.server, self.resource_id, source.translation.settings, synchronous=False)

    @property
    def upstream_of_standby(self) -> Upstream:
        """Whom its standby follows."""
        return Upstream(self.primary.server, STANDBY, self.translation.settings, synchronous=True)

    def apply_configuration(self) -> None:
        """Have the running servers take their configuration over."""
        for node in self.nodes:
            if node.server.alive:
                node.server.apply()

    @property
    def nodes(self) -> list[Node]:
        """Its servers, the primary first."""
        return [self.primary, *([self.standby] if self.standby else [])]

    @property
    def translation(self) -> Translation:
        """Its parameter group, for a local server."""
        return self.engine.translate(self.record.parameters)

    def adopt_standby(self, record: NodeRecord) -> None:
        """Have a standby from now on; it is still to be made."""
        self.standby = self._node(record)

    @property
    def storage_full(self) -> bool:
        """Whether its storage is used up, so that none of its servers can run."""
        return any(fault.kind == "full-disk" for fault in self.faults)

    def check_open(self) -> None:
        """Refuse to start anything for an instance that is being closed or deleted, or has no storage left.

        Raises:
            LocalError: it is.
        """
        if self.closing.is_set():
            raise LocalError(f"{self.resource_id} is being closed: nothing of it is started any more")
        if self.storage_full:
            raise LocalError(f"{self.resource_id} has used up its storage: allocate more, or clear the fault full-disk")

    def start_primary(self) -> None:
        """Configure and start the server behind the endpoint.

        Raises:
            LocalError: it does not start. If that is due to its parameters, it runs with the former ones.
        """
        self.check_open()
        self._ensure_address()
        refused = None
        try:
            self._start_configured()
        except LocalError as error:
            if self.record.parameters == self.record.proven:
                raise
            refused = error
            self.remember(parameters=self.record.proven)
            self._start_configured()
        self.primary.reset_health()
        # At this address packets arrive again, and connections of before are unknown to whoever gets them now.
        self.faults = frozenset(each for each in self.faults if not each.cuts_off)
        self.pending = frozenset()
        if refused:
            raise LocalError(f"{self.resource_id} runs with its former parameters: {refused}") from refused
        if self.record.proven != self.record.parameters:
            self.remember(proven=self.record.parameters)

    def accept(self) -> None:
        """Lead the endpoint to the primary."""
        self.accepting = True
        self.refresh_endpoint()

    def refuse(self) -> None:
        """Refuse connections at the endpoint, and reset those that exist."""
        self.accepting = False
        self.refresh_endpoint(cut=True)

    def refresh_endpoint(self, *, cut: bool = False) -> None:
        """Have the endpoint be what it should be; with ``cut`` connections that exist are reset."""
        try:
            self.changed()
        finally:  # a cluster whose servers do not answer just now must not leave this instance shut
            self.context.endpoints.set(self.endpoint_state(), cut=cut)

    @property
    def link(self) -> Link:
        """The network in front of its endpoint."""
        holes = [each for each in self.faults if each.kind == "blackhole"]
        late = [each.seconds for each in self.faults if each.kind == "latency"]
        # The endpoint's name leads to the server of the moment: to one that was promoted there is no black hole.
        black = self.primary.cut_off or any(each.path == "client" for each in holes)
        return Link(black, max(late, default=0.0), holds=bool(holes))

    def hold_writers(self) -> None:
        """Have each commit on the primary wait for the standby."""
        self.synchronous = True
        self.primary.server.require_acknowledgement(on=True)

    def release_writers(self) -> None:
        """Have the primary no longer wait for its standby; nothing can be promoted from now on."""
        self.in_sync = False
        self.close_promotion_sessions()
        if self.synchronous:
            self.primary.server.require_acknowledgement(on=False)
            self.synchronous = False

    def close_promotion_sessions(self) -> None:
        """Close the connections that wait for a promotion."""
        for node in self.nodes:
            node.close_promotion_session()

    def refresh_pending(self) -> frozenset[str]:
        """Ask the primary which parameters wait for a restart."""
        try:
            self.pending = self.primary.server.pending_restart()
        except SessionLost as error:
            raise LocalError(f"{self.resource_id} does not answer: {error}") from error
        return self.pending

    def facts(self) -> InstanceFacts:
        """Its present state."""
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
        """It follows its source of the moment from now on."""
        self.followed = self.source().resource_id if self.source is not None else None

    def endpoint_state(self) -> EndpointState:
        """What its endpoint should be now."""
        backend = self.primary.server if self.accepting else None
        state = self.context.endpoint(self.record, backend, require_tls=self.translation.require_tls)
        return replace(state, link=self.link)

    def _ensure_address(self) -> None:
        if not self.primary.ensure_port():
            moved = replace(self.record.primary, address=self.context.addresses.allocate())
            self.remember(primary=moved)
            self.primary = self._node(moved)

    def _node(self, record: NodeRecord) -> Node:
        return Node(record, self.context.server(self.record, record))

    def _standby(self) -> Node:
        if self.standby is None:
            raise LocalError(f"{self.resource_id} has no standby: set MultiAZ first")
        return self.standby
