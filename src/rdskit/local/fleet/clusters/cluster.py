"""Track the roles of one DB cluster: writer, readers, readers in sync, and the targets of its endpoints."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from rdskit.errors import LocalError
from rdskit.local.endpoints.model import Backend
from rdskit.local.engines.waiting import poll
from rdskit.local.fleet.clusters.policy import (
    Candidate,
    Quorum,
    custom_endpoint_members,
    promotion_candidates,
    promotion_target,
)
from rdskit.local.fleet.model import ClusterFacts
from rdskit.local.fleet.policy import ServerHealth

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.endpoints.model import EndpointState
    from rdskit.local.engines.session import ServerSession
    from rdskit.local.fleet.clusters.store import ClusterRecord, ClusterStore
    from rdskit.local.fleet.engine import Member, Server
    from rdskit.local.fleet.fleet_context import FleetContext
    from rdskit.local.fleet.instance import Instance
    from rdskit.local.fleet.model import CustomEndpoint

_log = logging.getLogger(__name__)

_SYNC_TIMEOUT: Final = 5.0  # seconds; commits may already wait for the reader, so this bounds a stall of all writers
_CONNECT_TIMEOUT: Final = 1.0


class ClusterServer(Protocol):
    """Operations that a server of a cluster supports besides those of any server."""

    @property
    def number(self) -> int:
        """``server_id`` in MySQL replication since its last start; 0 for PostgreSQL."""
        ...

    def acknowledged_by(self, names: Collection[str], needed: int) -> None:
        """Configure the writer so that each commit waits for ``needed`` of these readers."""
        ...

    def acknowledge(self, *, on: bool) -> None:
        """Make a reader acknowledge what it receives, or stop it.

        With ``on=False`` no acknowledgement follows the return.
        """
        ...

    def publish_members(self, own: str, writer: str | None, members: Sequence[Member]) -> None:
        """Publish the cluster's members to the server's SQL functions."""
        ...


class Cluster:
    """One DB cluster.

    A failover holds the writer's instance lock. :attr:`lock` comes after all instance locks and is held for short
    steps:
    its holder acquires no instance lock. See :class:`~rdskit.local.fleet.instance.Instance` for the whole lock order.

    Args:
        context: what the fleet shares.
        record: what is saved of it.
        store: where that is saved.
        members: finds its instances.

    Attributes:
        lock: guards the roles, the set of readers in sync and the set that commits wait for.
        leaving: held while an instance leaves the cluster; acquired before all other locks.
        in_sync: readers that are known to have every acknowledged commit.
        published: whether all its servers know the present members.
    """

    def __init__(
        self,
        context: FleetContext,
        record: ClusterRecord,
        store: ClusterStore,
        members: Callable[[], Iterable[Instance]],
    ) -> None:
        self.context = context
        self.record = record
        self.lock = threading.RLock()
        self.leaving = threading.Lock()
        self.in_sync: frozenset[str] = frozenset()
        self.published = True
        # Readers that the writer is configured to wait for: all that are in sync, and those being admitted.
        self._waited_for: frozenset[str] = frozenset()
        self._store = store
        self._find_members = members

    @property
    def resource_id(self) -> str:
        """Key of the cluster."""
        return self.record.resource_id

    @property
    def quorum(self) -> Quorum:
        """Number of readers that a commit waits for. Aurora's storage has every commit, so all of its readers."""
        return Quorum.ALL if self.record.engine.startswith("aurora-") else Quorum.ONE

    @property
    def members(self) -> list[Instance]:
        """Its instances, in no particular order."""
        return list(self._find_members())

    @property
    def writer(self) -> Instance:
        """Instance that takes writes.

        Raises:
            LocalError: it has no instance yet.
        """
        for each in self.members:
            if each.resource_id == self.record.writer_id:
                return each
        raise LocalError(f"{self.resource_id} has no writer: create an instance in it first")

    @property
    def readers(self) -> list[Instance]:
        """Its instances other than the writer."""
        return [each for each in self.members if each.resource_id != self.record.writer_id]

    def remember(self, **changes: Any) -> None:
        """Change the record: first on disk, then in memory."""
        record = replace(self.record, **changes)
        self._store.save(record)
        self.record = record

    def facts(self) -> ClusterFacts:
        """Return its present state."""
        record = self.record
        return ClusterFacts(
            resource_id=record.resource_id,
            endpoint=record.endpoint,
            reader_endpoint=record.reader_endpoint,
            writer_id=record.writer_id,
            in_sync=self.in_sync,
            addresses=self._addresses(),
        )

    def promotion_target(self, target: str | None = None) -> Instance | None:
        """Return the reader to promote on request, while the writer lives; None if there is none."""
        readers = {each.resource_id: each for each in self.readers}
        chosen = promotion_target((self._candidate(each) for each in readers.values()), target)
        return readers[chosen] if chosen else None

    def promotion_candidates(self) -> list[Instance]:
        """Return the readers of which one may replace a lost writer; none if that might lose a commit."""
        readers = {each.resource_id: each for each in self.readers}
        return [readers[each] for each in promotion_candidates(map(self._candidate, readers.values()), self.quorum)]

    def admit(self, reader: Instance) -> bool:
        """Make commits wait for a reader, prove that they do, and return whether it is in sync.

        The caller holds the reader's lock, so that nothing repoints the reader at another writer in the meantime.
        """
        writer = self.writer
        if reader.followed != writer.resource_id or not _streams_now(reader):
            return False
        # The order is the same as for a standby: wait, prove, then trust. The cluster's lock is released for the
        # proof, which takes seconds.
        with self.lock:
            self._wait_for(writer, self._waited_for | {reader.resource_id})
            waited_for = self._waited_for
        # Only after the writer waits for one more. MySQL counts acknowledgements without looking at their sender, so
        # an early one would count in place of another reader's.
        _of_cluster(reader.primary.server).acknowledge(on=True)
        try:
            _await_acknowledgements(writer.primary.server, reader)
            reader.primary.open_promotion_session()
        except LocalError as error:
            _log.info("%s is not in sync: %s", reader.resource_id, error)
            self.dismiss(reader)
            return False
        with self.lock:
            # With Quorum.ONE, another reader may have been the only one to acknowledge a commit during the proof. If it
            # was dismissed since, this reader may lack that commit: stay out of sync, and let the supervisor try again.
            if self.record.writer_id == writer.resource_id and self._waited_for >= waited_for:
                self.in_sync |= {reader.resource_id}
            return reader.resource_id in self.in_sync

    def dismiss(self, reader: Instance) -> None:
        """Stop commits from waiting for a reader. It cannot be promoted from then on.

        If another thread is restarting or repointing the reader, commits go on waiting. Call again in that case.
        """
        with self.lock:
            waited_for = reader.resource_id in self._waited_for
            self.in_sync -= {reader.resource_id}
            if waited_for and self.quorum is Quorum.ONE:
                # A commit may have been acknowledged by this reader only. The others must be admitted again, which
                # makes them catch up first.
                self.in_sync = frozenset()
        # Stop its acknowledgements before the writer waits for one fewer, and with the cluster's lock released, as this
        # needs the reader's lock. Otherwise its acknowledgements would count in place of another reader's.
        if waited_for and not _stopped_acknowledging(reader):
            return
        with self.lock:
            # A failover may have come in between and made this reader the writer, or cleared the set.
            if reader.resource_id in self._waited_for and reader.resource_id != self.record.writer_id:
                self._wait_for(self.writer, self._waited_for - {reader.resource_id})

    def forget_sync(self) -> None:
        """Reset the readers in sync, after a change or restart of the writer. Its commits wait for no reader then."""
        with self.lock:
            self.in_sync = self._waited_for = frozenset()
            _of_cluster(self.writer.primary.server).acknowledged_by((), 0)

    def stop_acknowledgements(self) -> None:
        """Stop the acknowledgements of all readers until they are admitted again."""
        for each in self.readers:
            _of_cluster(each.primary.server).acknowledge(on=False)

    def refresh(self, *, cut: bool = False) -> None:
        """Update the targets of the cluster's endpoints, and publish its members to its servers."""
        with self.lock:
            if self.record.writer_id is None:
                return
            self.published = self._published()
            writer, readers = self.writer, [each for each in self.readers if each.accepting]
            self.context.endpoints.set(
                self._state(self.record.endpoint, f"{self.resource_id}-writer", [writer]), cut=cut
            )
            # Without readers the reader endpoint routes to the writer, as Aurora's does.
            name = f"{self.resource_id}-readers"
            self.context.endpoints.set(self._state(self.record.reader_endpoint, name, readers or [writer]))
            for endpoint, address in self.record.custom:
                self.context.endpoints.set(self._custom_state(endpoint, address, writer, readers), cut=cut)

    def close_endpoints(self) -> None:
        """Remove all endpoints of the cluster."""
        for name in self._addresses():
            self.context.endpoints.remove(name)

    def set_custom(self, endpoint: CustomEndpoint) -> Endpoint:
        """Create a custom endpoint, or change its members; return where it listens."""
        with self.lock:
            kept = {each.name: (each, address) for each, address in self.record.custom}
            if endpoint.name in kept:
                address = kept[endpoint.name][1]
            else:
                address = self.context.addresses.allocate(self.record.endpoint.port)
            self.remember(custom=tuple({**kept, endpoint.name: (endpoint, address)}.values()))
        self.refresh()
        return address

    def remove_custom(self, name: str) -> None:
        """Remove a custom endpoint. Does nothing if it does not exist."""
        with self.lock:
            gone = [address for each, address in self.record.custom if each.name == name]
            self.remember(custom=tuple(pair for pair in self.record.custom if pair[0].name != name))
        # The listener goes before its address is released, or another endpoint could get an address still in use.
        self.context.endpoints.remove(name)
        for each in gone:
            self.context.addresses.release(each)

    def _addresses(self) -> dict[str, Endpoint]:
        record = self.record
        own = {f"{self.resource_id}-writer": record.endpoint, f"{self.resource_id}-readers": record.reader_endpoint}
        return own | {each.name: address for each, address in record.custom}

    def _candidate(self, reader: Instance) -> Candidate:
        node, record = reader.primary, reader.record
        healthy = node.server.alive and node.health.verdict is ServerHealth.FINE and not record.stopped
        name = record.resource_id
        return Candidate(name, record.tier, name in self.in_sync, healthy, name in self._waited_for)

    def _wait_for(self, writer: Instance, names: frozenset[str]) -> None:
        self._waited_for = names
        _of_cluster(writer.primary.server).acknowledged_by(sorted(names), self.quorum.needed(len(names)))

    def _published(self) -> bool:
        """Publish the members to the servers.

        Returns:
            Whether every server that exists has them now. If not, the writer's supervisor tries again.
        """
        members = [replace(each.member, number=_of_cluster(each.primary.server).number) for each in self.members]
        writer = self.writer.member.identifier
        complete = True
        for each in self.members:
            if each.primary.server.data.exists():
                try:
                    _of_cluster(each.primary.server).publish_members(each.member.identifier, writer, members)
                except LocalError as error:
                    _log.warning("%s does not accept the members of its cluster: %s", each.resource_id, error)
                    complete = False
        return complete

    def _custom_state(
        self, endpoint: CustomEndpoint, address: Endpoint, writer: Instance, readers: Sequence[Instance]
    ) -> EndpointState:
        instances = {each.resource_id: each for each in (writer, *readers)}
        chosen = custom_endpoint_members(endpoint, writer.resource_id, [each.resource_id for each in readers])
        if chosen:
            return self._state(address, endpoint.name, [instances[each] for each in chosen])
        return replace(self._state(address, endpoint.name, [writer]), backend=None)

    def _state(self, address: Endpoint, name: str, instances: Sequence[Instance]) -> EndpointState:
        first, *others = instances
        state = first.endpoint_state()
        files = self.context.authority.issue(self.context.store.certificates, name, [address.host])
        held = any(each.link.holds for each in self.members)
        return replace(
            state,
            name=name,
            address=address,
            certificate=str(files.certificate),
            key=str(files.key),
            others=tuple(Backend(each.primary.server.address, each.primary.server.socket) for each in others),
            link=replace(state.link, holds=held),
        )


def _of_cluster(server: Server) -> ClusterServer:
    """Return the server with the type of a cluster's server."""
    # The catalog creates cluster servers for every instance with a cluster id; see FleetContext.engine().
    return cast("ClusterServer", server)


def _stopped_acknowledging(reader: Instance) -> bool:
    """Stop a reader's acknowledgements; return False while another thread works on the reader."""
    server = reader.primary.server
    if not server.alive:
        return True
    # Never wait here. A failover may hold the reader's lock and wait for what the caller holds.
    if not reader.lock.acquire(blocking=False):
        return False
    try:
        _of_cluster(server).acknowledge(on=False)
    finally:
        reader.lock.release()
    return True


def _streams_now(reader: Instance) -> bool:
    """Return whether a reader streams now. The latest probe may have seen the stream of a former writer."""
    server = reader.primary.server
    try:
        with server.connect(timeout=_CONNECT_TIMEOUT) as session:
            return server.streams(session)
    except LocalError as error:
        _log.info("%s does not answer: %s", reader.resource_id, error)
        return False


def _await_acknowledgements(writer: Server, reader: Instance) -> None:
    """Wait until commits are observed to wait, and until the reader has everything from before.

    Raises:
        LocalError: that does not happen in time.
    """
    over = threading.Event()

    def write() -> None:
        try:
            with writer.open_writer() as session:
                while not over.is_set():
                    writer.heartbeat(session, timeout=_SYNC_TIMEOUT)
        except LocalError as error:
            _log.info("%s: the test commits failed: %s", reader.resource_id, error)

    commits = threading.Thread(target=write, name=f"rdskit-commits-{reader.resource_id}", daemon=True)
    with writer.connect() as source, reader.primary.server.connect() as follower:
        commits.start()
        try:
            _until(lambda: writer.commits_wait(source), "no commit waits for it")
        finally:
            over.set()
            commits.join()
        # Last: commits from before the setting was in force did not wait for this reader.
        _await_received(writer, reader.primary.server, follower)


def await_received(writer: Server, server: Server) -> None:
    """Wait until a follower has everything that its writer has now.

    Raises:
        LocalError: it does not in time.
    """
    with server.connect() as follower:
        _await_received(writer, server, follower)


def _await_received(writer: Server, server: Server, follower: ServerSession) -> None:
    now = writer.position()
    _until(lambda: server.has_received(follower, now), "it lags")


def _until(condition: Callable[[], bool], otherwise: str) -> None:
    if not poll(condition, timeout=_SYNC_TIMEOUT, interval=0.01):
        raise LocalError(f"{otherwise} after {_SYNC_TIMEOUT:g} s")
