"""Fail over a Multi-AZ instance: fence, promote, prove, record, repoint.

The order keeps every acknowledged row:

1. Fence the old primary. From then on it acknowledges nothing, so the set of acknowledged commits is final.
2. Promote the standby, which has all of that set because commits waited for it.
3. Prove the promotion with a write, so that clients are never sent to a server that is still read-only.
4. Record the new primary on disk. A crash before this step brings the old primary back with all acknowledged rows; a
   crash after it brings the new one. No client has written to the new one before.
5. Repoint the endpoint, which lets the first client write.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.engines.waiting import poll
from rdskit.local.fleet.model import FailoverCause, FailoverRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rdskit.local.engines.session import ServerSession
    from rdskit.local.fleet.engine import Server
    from rdskit.local.fleet.instance import Instance

_log = logging.getLogger(__name__)

_FIRST_WRITE: Final = 30.0  # seconds until a promoted server must accept a write; it may have to replay its backlog
_PROBE: Final = 0.001  # seconds between attempts of the first write: the resolution of the measured outage
_REPLICA_ANSWER: Final = 0.25  # seconds for a replica's position; every writer waits that long for a silent replica
_REMEMBERED: Final = 100  # failovers kept in a record
REASONS: Final[dict[FailoverCause, str]] = {
    "requested": "a user requested a failover",
    "primary-ended": "the primary's process ended",
    "primary-hung": "the primary did not answer",
}


def fail_over(instance: Instance, cause: FailoverCause, replicas: Iterable[Instance]) -> FailoverRecord:
    """Promote the standby of an instance that is in sync. The caller holds the instance's lock.

    The old primary stays dead. The caller brings it back as a standby afterwards.

    Args:
        instance: with a standby in sync.
        cause: for the record.
        replicas: its read replicas; one that is ahead of the new primary is taken out of service.

    Returns:
        The record, with ``promotion_ms``.

    Raises:
        LocalError: the standby could not be promoted.
    """
    old, new = instance.primary, instance.standby
    if new is None or not instance.in_sync:
        raise LocalError(f"{instance.resource_id} has no standby in sync: wait until it has, or restart the primary")
    # First, while nothing has changed yet: if the standby accepts no connection, the failover ends here without harm.
    writer = new.open_promotion_session()
    instance.context.report(instance.resource_id, "failover-started", f"Multi-AZ failover started: {REASONS[cause]}")
    instance.refuse()
    # Listed before the fence: a replica that stops in between still counts, and is treated as silent.
    running = [replica for replica in replicas if replica.primary.server.alive]
    at, started = dt.datetime.now(dt.UTC), time.monotonic()
    silence = None if cause == "requested" else round((started - old.answered_at) * 1000, 3)
    # From here on no commit is acknowledged by the old primary. A SIGKILL cannot be taken back, so there are never two
    # primaries, whatever happens to this process.
    old.server.fence()
    # Asked after the fence, when replicas receive nothing more, and in parallel with the promotion.
    received = _request_positions(running)
    new.server.promote()
    await_first_write(new.server, writer)
    promotion_ms = (time.monotonic() - started) * 1000
    # Before clients are let in, or one could read a row from a replica that the new primary does not have.
    retire_diverged(_collect_positions(received), new.server)
    record = FailoverRecord(instance.resource_id, cause, at, round(promotion_ms, 3), silence)
    _swap_roles(instance, record)
    instance.accept()
    zone = instance.record.primary.zone
    message = f"Multi-AZ failover completed: the primary is in {zone} now"
    instance.context.report(instance.resource_id, "failover-completed", message, promotion_ms=record.promotion_ms)
    return record


def retire_diverged(received: Mapping[Instance, str | None], promoted: Server) -> None:
    """Close the endpoints of replicas that have changes which the promoted standby never had.

    An asynchronous replica may have received more than the synchronous standby had. It would serve rows that no longer
    exist. A replica that did not answer in time is treated like one of these.

    Args:
        received: position of each running replica after the old primary ended; None if it did not answer.
        promoted: the new primary.
    """
    for replica, position in received.items():
        if position is None or not promoted.had(position):
            _log.warning(
                "%s is ahead of the new primary: it is out of service until it is rebuilt", replica.resource_id
            )
            # Without the replica's lock: its holder may be copying the source, and a failover must not wait for that.
            replica.diverged = True
            replica.refuse()


def await_first_write(server: Server, writer: ServerSession) -> None:
    """Wait until a promoted server accepts a write on an open session.

    Raises:
        LocalError: it accepts none in time.
    """
    deadline = time.monotonic() + _FIRST_WRITE

    def accepted() -> bool:
        return server.heartbeat(writer, timeout=max(_PROBE, deadline - time.monotonic()))

    if not poll(accepted, timeout=_FIRST_WRITE, interval=_PROBE):
        raise LocalError(f"the promoted standby accepted no write within {_FIRST_WRITE:g} s: see its log")


def _swap_roles(instance: Instance, failover: FailoverRecord) -> None:
    # On disk before the first client writes. Otherwise a crash of this process would bring the old primary back, and
    # lose what clients had written to the new one.
    """Swap primary and standby, on disk and then in memory."""
    record = instance.record
    if record.standby is None:
        raise LocalError(f"{instance.resource_id} has no standby to swap with: this is a defect, report it")
    failovers = (*record.failovers, failover)[-_REMEMBERED:]
    instance.remember(primary=record.standby, standby=record.primary, failovers=failovers)
    instance.primary, instance.standby = instance.nodes[1], instance.nodes[0]
    # The new primary has no standby yet: the old one must be rewound first.
    instance.synchronous = instance.in_sync = False
    instance.close_promotion_sessions()
    instance.primary.reset_health()


def _request_positions(replicas: Sequence[Instance]) -> dict[Instance, Future[str | None]]:
    """Start to query each replica for the position that it has received, while the standby is promoted."""
    pool = ThreadPoolExecutor(max_workers=max(1, len(replicas)), thread_name_prefix="rdskit-received")
    try:
        return {replica: pool.submit(_received_position, replica) for replica in replicas}
    finally:
        # Does not wait: a hung replica must not delay the failover. Its thread ends by its own time-out.
        pool.shutdown(wait=False)


def _collect_positions(requested: Mapping[Instance, Future[str | None]]) -> dict[Instance, str | None]:
    """Return the positions that arrive within a moment; None for a replica that does not answer.

    Writers wait for a new primary, so the failover does not wait for its replicas.
    """
    wait(requested.values(), timeout=_REPLICA_ANSWER)
    return {replica: future.result() if future.done() else None for replica, future in requested.items()}


def _received_position(replica: Instance) -> str | None:
    """Return the position that a replica has received in the end; None if it does not answer."""
    position = replica.primary.server.received(_REPLICA_ANSWER)
    if position is None:
        _log.warning("%s does not report its position", replica.resource_id)
    return position
