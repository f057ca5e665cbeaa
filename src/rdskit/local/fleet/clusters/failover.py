"""The failover of a cluster: fence the writer, promote a reader, prove, record, repoint; then the others follow."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.fleet import replicas as replication
from rdskit.local.fleet.failover import REASONS, await_first_write
from rdskit.local.fleet.model import FailoverRecord

if TYPE_CHECKING:
    from rdskit.local.fleet.clusters.cluster import Cluster
    from rdskit.local.fleet.instance import Instance
    from rdskit.local.fleet.model import FailoverCause

_log = logging.getLogger(__name__)

_REMEMBERED: Final = 100


def fail_over(cluster: Cluster, cause: FailoverCause, target: str | None = None) -> FailoverRecord:
    """Promote a reader that is in sync. The caller holds the writer's lock.

    Args:
        cluster: whose writer is to change.
        cause: for the record.
        target: the instance to promote; None takes the lowest promotion tier.

    Raises:
        LocalError: no reader, or not this one, is in sync, or it could not be promoted.
    """
    old, new = cluster.writer, cluster.heir(target)
    if new is None:
        raise LocalError(f"{cluster.resource_id} has no such reader in sync: wait until it has, or restart the writer")
    with new.lock:
        record = _promote(cluster, old, new, cause)
    message = f"Completed failover to DB instance: {new.member.identifier}"
    cluster.site.tell(cluster.resource_id, "failover-completed", message, promotion_ms=record.promotion_ms)
    for reader in cluster.readers:
        threading.Thread(
            target=_follow, args=(cluster, reader), name=f"rdskit-follow-{reader.resource_id}", daemon=True
        ).start()
    return record


def _promote(cluster: Cluster, old: Instance, new: Instance, cause: FailoverCause) -> FailoverRecord:
    server = new.primary.server
    with server.open_writer() as session:
        cluster.site.tell(cluster.resource_id, "failover-started", f"Started cross AZ failover: {REASONS[cause]}")
        old.refuse()
        cluster.refresh(cut=True)
        at, started = dt.datetime.now(dt.UTC), time.monotonic()
        silence = None if cause == "requested" else round((started - old.primary.answered_at) * 1000, 3)
        with cluster.lock:
            # Until the old writer is dead, nobody may have it stop waiting for the new one.
            if new.resource_id not in cluster.in_sync:
                raise LocalError(f"{new.member.identifier} is in sync no more: wait until it is again")
            old.primary.server.fence()
        server.promote()
        await_first_write(server, session)
    promotion_ms = round((time.monotonic() - started) * 1000, 3)
    record = FailoverRecord(cluster.resource_id, cause, at, promotion_ms, silence)
    with cluster.lock:
        # On disk before the first client writes: a crash of ours must not bring the old writer back.
        cluster.remember(writer_id=new.resource_id, failovers=(*cluster.record.failovers, record)[-_REMEMBERED:])
        new.source, old.source = None, lambda: cluster.writer
        cluster.release()
    new.primary.forgive()
    new.accept()
    return record


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
