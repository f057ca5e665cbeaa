"""Fail over a cluster: fence the writer, promote a reader, prove, record, repoint; then the other readers follow.

The order is that of :mod:`rdskit.local.fleet.failover`, for the same reasons.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.fleet import replicas as replication
from rdskit.local.fleet.clusters.cluster import await_received
from rdskit.local.fleet.clusters.policy import Quorum
from rdskit.local.fleet.failover import REASONS, await_first_write
from rdskit.local.fleet.model import FailoverRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.local.fleet.clusters.cluster import Cluster
    from rdskit.local.fleet.instance import Instance
    from rdskit.local.fleet.model import FailoverCause

_log = logging.getLogger(__name__)

_REMEMBERED: Final = 100  # failovers kept in a record
_ANSWER: Final = 2.0  # seconds in which a reader must report what it has received


def fail_over(cluster: Cluster, cause: FailoverCause, target: str | None = None) -> FailoverRecord:
    """Promote a reader that has every acknowledged commit. The caller holds the writer's lock.

    Args:
        cluster: cluster whose writer changes.
        cause: for the record.
        target: instance to promote on request; None chooses the lowest promotion tier.

    Returns:
        The record of the failover.

    Raises:
        LocalError: no reader, or not this one, is in sync, or it could not be promoted.
    """
    if cause == "requested":
        chosen = cluster.promotion_target(target)
        candidates = [chosen] if chosen else []
    else:
        candidates = cluster.promotion_candidates()
    if not candidates:
        raise LocalError(f"{cluster.resource_id} has no such reader in sync: wait until it has, or restart the writer")
    with ExitStack() as held:
        # Writer before readers, as in the lock order. Only failovers hold several readers at once, and they exclude
        # each other by the writer's lock.
        for each in candidates:
            held.enter_context(each.lock)
        new, record = _promote(cluster, candidates, cause)
    message = f"Completed failover to DB instance: {new.member.identifier}"
    cluster.context.report(cluster.resource_id, "failover-completed", message, promotion_ms=record.promotion_ms)
    # In threads of their own: the old writer must be rewound, and the caller still holds its lock.
    for reader in cluster.readers:
        threading.Thread(
            target=_follow, args=(cluster, reader), name=f"rdskit-follow-{reader.resource_id}", daemon=True
        ).start()
    return record


def _promote(cluster: Cluster, candidates: Sequence[Instance], cause: FailoverCause) -> tuple[Instance, FailoverRecord]:
    old = cluster.writer
    with ThreadPoolExecutor(1, thread_name_prefix="rdskit-endpoints") as background:
        # Before anything changes: a candidate that accepts no connection ends the failover here without harm.
        writers = {each: each.primary.open_promotion_session() for each in candidates}
        # A planned failover loses no commit in flight: clients are cut off first, then the target catches up, then the
        # writer is fenced.
        if cause == "requested":
            _disconnect_clients(cluster, old, cause)
            _await_caught_up(cluster, old, candidates[0])
        at, started = dt.datetime.now(dt.UTC), time.monotonic()
        silence = None if cause == "requested" else round((started - old.primary.answered_at) * 1000, 3)
        _fence(cluster, old, candidates, cause)
        # A dead server accepts no client, so the promotion need not wait for its endpoints to close. The end of the
        # ``with`` block waits, so this comes before the new writer's accept().
        if cause != "requested":
            background.submit(_disconnect_clients_of_dead_writer, cluster, old, cause)
        new = candidates[0] if len(candidates) == 1 else _most_advanced(candidates)
        new.primary.server.promote()
        await_first_write(new.primary.server, writers[new])
        promotion_ms = round((time.monotonic() - started) * 1000, 3)
    record = FailoverRecord(cluster.resource_id, cause, at, promotion_ms, silence)
    with cluster.lock:
        # On disk before the first client writes. Otherwise a crash of this process would bring the old writer back, and
        # lose what clients had written to the new one.
        cluster.remember(writer_id=new.resource_id, failovers=(*cluster.record.failovers, record)[-_REMEMBERED:])
        # Under the cluster's lock together with the record, so that refresh() never sees two writers or none.
        new.source, old.source = None, lambda: cluster.writer
        cluster.forget_sync()
    new.close_promotion_sessions()
    new.primary.reset_health()
    new.accept()
    return new, record


def _disconnect_clients(cluster: Cluster, old: Instance, cause: FailoverCause) -> None:
    """Refuse clients of the old writer, and reset their connections."""
    cluster.context.report(cluster.resource_id, "failover-started", f"Started cross AZ failover: {REASONS[cause]}")
    old.refuse()
    cluster.refresh(cut=True)


def _disconnect_clients_of_dead_writer(cluster: Cluster, old: Instance, cause: FailoverCause) -> None:
    """Reset the connections to a dead writer; log a failure instead of raising it."""
    try:
        _disconnect_clients(cluster, old, cause)
    except LocalError:
        # The new writer's accept() sets every endpoint again, so the failover goes on.
        _log.exception("the endpoints of %s could not be closed", old.resource_id)


def _await_caught_up(cluster: Cluster, old: Instance, new: Instance) -> None:
    """Wait until the target of a switch has everything, in a cluster where one acknowledgement is enough.

    Clients are cut off, so the writer's position no longer moves.

    Raises:
        LocalError: the target does not catch up in time. Clients are let in again.
    """
    # Every reader in sync has acknowledged every commit.
    if cluster.quorum is Quorum.ALL:
        return
    try:
        await_received(old.primary.server, new.primary.server)
    except LocalError:
        old.accept()
        raise


def _fence(cluster: Cluster, old: Instance, candidates: Sequence[Instance], cause: FailoverCause) -> None:
    """Fence the old writer, provided that all candidates are still in sync.

    Raises:
        LocalError: a candidate is out of sync. The old writer lives on.
    """
    with cluster.lock:
        # Check and fence under the cluster's lock. dismiss() needs that lock too, so no reader can leave the set that
        # commits wait for between the check and the death of the writer.
        missing = [each.member.identifier for each in candidates if each.resource_id not in cluster.in_sync]
        if not missing:
            old.primary.server.fence()
            return
    if cause == "requested":
        # Clients were cut off for the switch only.
        old.accept()
    raise LocalError(f"{', '.join(missing)} is no longer in sync: wait until it is, then fail over again")


def _most_advanced(readers: Sequence[Instance]) -> Instance:
    """Return the reader that has received most. It has what any one of them has acknowledged.

    Raises:
        LocalError: a reader does not answer, or no reader has everything that the others have.
    """
    with ThreadPoolExecutor(len(readers), thread_name_prefix="rdskit-received") as pool:
        answers = pool.map(lambda each: each.primary.server.received(_ANSWER), readers)
        received = dict(zip(readers, answers, strict=True))
    silent = [each.member.identifier for each, position in received.items() if position is None]
    # The silent reader may be the only one with the last acknowledged commit, so no other may be promoted.
    if silent:
        raise LocalError(
            f"{', '.join(silent)} does not report what it has received: wait until it answers, or restart the writer"
        )
    for each in readers:
        with each.primary.server.connect() as session:
            # GTID sets have no total order, so compare each reader with all positions instead of taking a maximum.
            if all(each.primary.server.has_received(session, position or "") for position in received.values()):
                return each
    raise LocalError("no reader has what all of them have: their histories have diverged")


def _follow(cluster: Cluster, reader: Instance) -> None:
    """Repoint a reader at the new writer; rewind the old writer first, because it has commits of its own."""
    try:
        with reader.lock:
            # The wait for the lock may have been long: another failover may have made this reader the writer.
            if reader.closing.is_set() or reader.record.stopped or not reader.is_replica:
                return
            # A server that is not marked as a standby was the writer. It may have commits that no reader received.
            if reader.primary.server.alive and reader.primary.server.is_standby:
                replication.follow(reader)
            else:
                replication.rejoin(reader)
    except LocalError:
        if not reader.closing.is_set():
            _log.exception("%s could not follow the new writer of %s", reader.resource_id, cluster.resource_id)
