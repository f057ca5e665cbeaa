"""The failover of a cluster: fence the writer, promote a reader, prove, record, repoint; then the others follow."""

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

_REMEMBERED: Final = 100
_ANSWER: Final = 2.0  # seconds in which a reader must tell what it has received


def fail_over(cluster: Cluster, cause: FailoverCause, target: str | None = None) -> FailoverRecord:
    """Promote a reader that has every acknowledged commit. The caller holds the writer's lock.

    Args:
        cluster: whose writer is to change.
        cause: for the record.
        target: the instance to promote, of a failover that was asked for; None takes the lowest promotion tier.

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
        for each in candidates:
            held.enter_context(each.lock)
        new, record = _promote(cluster, candidates, cause)
    message = f"Completed failover to DB instance: {new.member.identifier}"
    cluster.context.report(cluster.resource_id, "failover-completed", message, promotion_ms=record.promotion_ms)
    for reader in cluster.readers:
        threading.Thread(
            target=_follow, args=(cluster, reader), name=f"rdskit-follow-{reader.resource_id}", daemon=True
        ).start()
    return record


def _promote(cluster: Cluster, candidates: Sequence[Instance], cause: FailoverCause) -> tuple[Instance, FailoverRecord]:
    old = cluster.writer
    with ThreadPoolExecutor(1, thread_name_prefix="rdskit-endpoints") as background:
        writers = {each: each.primary.open_promotion_session() for each in candidates}
        if cause == "requested":
            _disconnect_clients(cluster, old, cause)
            _await_caught_up(cluster, old, candidates[0])
        at, started = dt.datetime.now(dt.UTC), time.monotonic()
        silence = None if cause == "requested" else round((started - old.primary.answered_at) * 1000, 3)
        _fence(cluster, old, candidates, cause)
        if cause != "requested":  # a server that is dead lets nobody in: the promotion need not wait for its doors
            background.submit(_disconnect_clients_of_dead_writer, cluster, old, cause)
        new = candidates[0] if len(candidates) == 1 else _most_advanced(candidates)
        new.primary.server.promote()
        await_first_write(new.primary.server, writers[new])
        promotion_ms = round((time.monotonic() - started) * 1000, 3)
    record = FailoverRecord(cluster.resource_id, cause, at, promotion_ms, silence)
    with cluster.lock:
        # On disk before the first client writes: a crash of ours must not bring the old writer back.
        cluster.remember(writer_id=new.resource_id, failovers=(*cluster.record.failovers, record)[-_REMEMBERED:])
        new.source, old.source = None, lambda: cluster.writer
        cluster.forget_sync()
    new.close_promotion_sessions()
    new.primary.reset_health()
    new.accept()
    return new, record


def _disconnect_clients(cluster: Cluster, old: Instance, cause: FailoverCause) -> None:
    """Let no client through to the old writer any more, and reset the connections that there are."""
    cluster.context.report(cluster.resource_id, "failover-started", f"Started cross AZ failover: {REASONS[cause]}")
    old.refuse()
    cluster.refresh(cut=True)


def _disconnect_clients_of_dead_writer(cluster: Cluster, old: Instance, cause: FailoverCause) -> None:
    try:
        _disconnect_clients(cluster, old, cause)
    except LocalError:  # there is a new writer all the same, to which the cluster's endpoints are led next
        _log.exception("the endpoints of %s could not be closed", old.resource_id)


def _await_caught_up(cluster: Cluster, old: Instance, new: Instance) -> None:
    """Wait until a reader whose acknowledgement need not have counted has everything; no client writes any more."""
    if cluster.quorum is Quorum.ALL:
        return
    try:
        await_received(old.primary.server, new.primary.server)
    except LocalError:
        old.accept()
        raise


def _fence(cluster: Cluster, old: Instance, candidates: Sequence[Instance], cause: FailoverCause) -> None:
    with cluster.lock:
        # Until the old writer is dead, nobody may have it stop waiting for those who may be promoted.
        missing = [each.member.identifier for each in candidates if each.resource_id not in cluster.in_sync]
        if not missing:
            old.primary.server.fence()
            return
    if cause == "requested":  # the doors were closed for the switch only
        old.accept()
    raise LocalError(f"{', '.join(missing)} is in sync no more: wait until it is again")


def _most_advanced(readers: Sequence[Instance]) -> Instance:
    """Who has received most: what any one of them has acknowledged is there."""
    with ThreadPoolExecutor(len(readers), thread_name_prefix="rdskit-received") as pool:
        answers = pool.map(lambda each: each.primary.server.received(_ANSWER), readers)
        received = dict(zip(readers, answers, strict=True))
    silent = [each.member.identifier for each, position in received.items() if position is None]
    if silent:
        raise LocalError(f"{', '.join(silent)} does not tell what it has received: nobody can be promoted without that")
    for each in readers:
        with each.primary.server.connect() as session:
            if all(each.primary.server.has_received(session, position or "") for position in received.values()):
                return each
    raise LocalError("no reader has what all of them have: their histories have parted")


def _follow(cluster: Cluster, reader: Instance) -> None:
    """Have a reader follow the new writer; the old one, which has written, is rewound first."""
    try:
        with reader.lock:
            if reader.closing.is_set() or reader.record.stopped or not reader.is_replica:
                return
            if reader.primary.server.alive and reader.primary.server.is_standby:
                replication.follow(reader)
            else:
                replication.rejoin(reader)
    except LocalError:
        if not reader.closing.is_set():
            _log.exception("%s could not follow the new writer of %s", reader.resource_id, cluster.resource_id)
