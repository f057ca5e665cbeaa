"""One DB cluster: who writes, who reads, whom the writer waits for, and where the cluster's endpoints lead."""

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

_SYNC_TIMEOUT: Final = 5.0
_CONNECT_TIMEOUT: Final = 1.0


class ClusterServer(Protocol):
    """What a server of a cluster does besides."""

    @property
    def number(self) -> int:
        """By which its protocol knows it since its last start; 0 where there is none."""
        ...

    def acknowledged_by(self, names: Collection[str], needed: int) -> None:
        """Of a writer: have each commit wait for so many of these readers."""
        ...

    def acknowledge(self, *, on: bool) -> None:
        """Of a reader: acknowledge to the writer what it receives, or, when this returns, certainly no more."""
        ...

    def publish_members(self, own: str, writer: str | None, members: Sequence[Member]) -> None:
        """Have its SQL functions tell who is in the cluster."""
        ...


class Cluster:
    """One DB cluster. Whoever fails it over holds its writer's lock; :attr:`lock` is held for moments only.

    Args:
        context: what the fleet shares.
        record: what is remembered of it.
        store: where that is.
        members: finds its instances.

    Attributes:
        lock: of the roles and of who is in sync; no other lock is taken while holding it.
        leaving: of whoever leaves; taken before all others.
        in_sync: readers on which every acknowledged commit is known to be.
        published: whether its servers know who is in it.
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
        self._waited_for: frozenset[str] = frozenset()
        self._store = store
        self._find_members = members

    @property
    def resource_id(self) -> str:
        """Its key."""
        return self.record.resource_id

    @property
    def quorum(self) -> Quorum:
        """Whose acknowledgement a commit waits for."""
        return Quorum.ALL if self.record.engine.startswith("aurora-") else Quorum.ONE

    @property
    def members(self) -> list[Instance]:
        """Its instances."""
        return list(self._find_members())

    @property
    def writer(self) -> Instance:
        """The instance that takes writes.

        Raises:
            LocalError: it has no instance yet.
        """
        for each in self.members:
            if each.resource_id == self.record.writer_id:
                return each
        raise LocalError(f"{self.resource_id} has no writer: create an instance in it first")

    @property
    def readers(self) -> list[Instance]:
        """The other instances."""
        return [each for each in self.members if each.resource_id != self.record.writer_id]

    def remember(self, **changes: Any) -> None:
        """Change the record, on disk first."""
        record = replace(self.record, **changes)
        self._store.save(record)
        self.record = record

    def facts(self) -> ClusterFacts:
        """Its present state."""
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
        """The reader that takes over from a writer that lives; None where nobody may."""
        readers = {each.resource_id: each for each in self.readers}
        chosen = promotion_target((self._candidate(each) for each in readers.values()), target)
        return readers[chosen] if chosen else None

    def promotion_candidates(self) -> list[Instance]:
        """The readers of which one takes over from a writer that is lost; none where that might lose a commit."""
        readers = {each.resource_id: each for each in self.readers}
        return [readers[each] for each in promotion_candidates(map(self._candidate, readers.values()), self.quorum)]

    def admit(self, reader: Instance) -> bool:
        """Have commits wait for a reader, and make sure that they do; whether it is in sync now.

        The caller holds the reader's lock: nobody may have it follow another writer meanwhile.
        """
        writer = self.writer
        if reader.followed != writer.resource_id or not _streams_now(reader):
            return False
        with self.lock:
            self._wait_for(writer, self._waited_for | {reader.resource_id})
            waited_for = self._waited_for
        _of_cluster(reader.primary.server).acknowledge(on=True)
        try:
            _await_acknowledgements(writer.primary.server, reader)
            reader.primary.open_promotion_session()
        except LocalError as error:
            _log.info("%s is not in sync: %s", reader.resource_id, error)
            self.dismiss(reader)
            return False
        with self.lock:
            # Whoever has gone meanwhile may have been alone in acknowledging what this reader was not asked for.
            if self.record.writer_id == writer.resource_id and self._waited_for >= waited_for:
                self.in_sync |= {reader.resource_id}
            return reader.resource_id in self.in_sync

    def dismiss(self, reader: Instance) -> None:
        """Have commits wait no more for a reader: it cannot be promoted from now on.

        While somebody else restarts the reader, or has it follow another writer, commits go on waiting: ask again.
        """
        with self.lock:
            waited_for = reader.resource_id in self._waited_for
            self.in_sync -= {reader.resource_id}
            if waited_for and self.quorum is Quorum.ONE:
                self.in_sync = frozenset()  # what it alone has acknowledged, the others must have first
        # Before the writer waits for one less: what this one acknowledged would count in another one's place.
        if waited_for and not _stopped_acknowledging(reader):
            return
        with self.lock:
            if reader.resource_id in self._waited_for and reader.resource_id != self.record.writer_id:
                self._wait_for(self.writer, self._waited_for - {reader.resource_id})

    def forget_sync(self) -> None:
        """Forget who is in sync: the writer begins anew, and waits for nobody."""
        with self.lock:
            self.in_sync = self._waited_for = frozenset()
            _of_cluster(self.writer.primary.server).acknowledged_by((), 0)

    def stop_acknowledgements(self) -> None:
        """Have no reader acknowledge anything until it is admitted again."""
        for each in self.readers:
            _of_cluster(each.primary.server).acknowledge(on=False)

    def refresh(self, *, cut: bool = False) -> None:
        """Have the cluster's endpoints lead where they should, and its servers know who is in the cluster."""
        with self.lock:
            if self.record.writer_id is None:
                return
            self.published = self._published()
            writer, readers = self.writer, [each for each in self.readers if each.accepting]
            self.context.endpoints.set(
                self._state(self.record.endpoint, f"{self.resource_id}-writer", [writer]), cut=cut
            )
            # Without readers the reader endpoint leads to the writer, as Aurora's does.
            name = f"{self.resource_id}-readers"
            self.context.endpoints.set(self._state(self.record.reader_endpoint, name, readers or [writer]))
            for endpoint, address in self.record.custom:
                self.context.endpoints.set(self._custom_state(endpoint, address, writer, readers), cut=cut)

    def close_endpoints(self) -> None:
        """Remove all of them."""
        for name in self._addresses():
            self.context.endpoints.remove(name)

    def set_custom(self, endpoint: CustomEndpoint) -> Endpoint:
        """Open a custom endpoint, or change whom it leads to; returns where it listens."""
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
        """Close a custom endpoint; one that is not there is fine."""
        with self.lock:
            gone = [address for each, address in self.record.custom if each.name == name]
            self.remember(custom=tuple(pair for pair in self.record.custom if pair[0].name != name))
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
        """Have the servers know who is in the cluster; whether all that had to be told were."""
        members = [replace(each.member, number=_of_cluster(each.primary.server).number) for each in self.members]
        writer = self.writer.member.identifier
        complete = True
        for each in self.members:
            if each.primary.server.data.exists():
                try:
                    _of_cluster(each.primary.server).publish_members(each.member.identifier, writer, members)
                except LocalError as error:
                    _log.warning("%s cannot be told who is in its cluster: %s", each.resource_id, error)
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
    return cast("ClusterServer", server)


def _stopped_acknowledging(reader: Instance) -> bool:
    """Have a reader acknowledge nothing any more; False where somebody else is at work on it."""
    server = reader.primary.server
    if not server.alive:
        return True
    if not reader.lock.acquire(blocking=False):
        return False
    try:
        _of_cluster(server).acknowledge(on=False)
    finally:
        reader.lock.release()
    return True


def _streams_now(reader: Instance) -> bool:
    """Whether a reader streams at this moment: what was probed last may have been another writer's stream."""
    server = reader.primary.server
    try:
        with server.connect(timeout=_CONNECT_TIMEOUT) as session:
            return server.streams(session)
    except LocalError as error:
        _log.info("%s does not answer: %s", reader.resource_id, error)
        return False


def _await_acknowledgements(writer: Server, reader: Instance) -> None:
    """Wait until commits are seen to wait, and until the reader has what was there before.

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
            _log.info("%s: no commits to wait for: %s", reader.resource_id, error)

    commits = threading.Thread(target=write, name=f"rdskit-commits-{reader.resource_id}", daemon=True)
    with writer.connect() as source, reader.primary.server.connect() as follower:
        commits.start()
        try:
            _until(lambda: writer.commits_wait(source), "no commit waits for it")
        finally:
            over.set()
            commits.join()
        _await_received(writer, reader.primary.server, follower)


def await_received(writer: Server, server: Server) -> None:
    """Wait until a follower has everything that its writer has now.

    Raises:
        LocalError: it has not in time.
    """
    with server.connect() as follower:
        _await_received(writer, server, follower)


def _await_received(writer: Server, server: Server, follower: ServerSession) -> None:
    now = writer.position()
    _until(lambda: server.has_received(follower, now), "it lags")


def _until(condition: Callable[[], bool], otherwise: str) -> None:
    if not poll(condition, timeout=_SYNC_TIMEOUT, interval=0.01):
        raise LocalError(f"{otherwise} after {_SYNC_TIMEOUT:g} s")
