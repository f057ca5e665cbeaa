"""The failover: fence, promote, prove, record, repoint. In this order, which is what keeps every acknowledged row."""

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

_FIRST_WRITE: Final = 30.0
_PROBE: Final = 0.001
_REPLICA_ANSWER: Final = 0.25
_REMEMBERED: Final = 100
REASONS: Final[dict[FailoverCause, str]] = {
    "requested": "a user requested a failover",
    "primary-ended": "the primary's process ended",
    "primary-hung": "the primary did not answer",
}


def fail_over(instance: Instance, cause: FailoverCause, replicas: Iterable[Instance]) -> FailoverRecord:
    """Promote the standby of an instance that is in sync. The caller holds the instance's lock.

    The old primary is left dead; bringing it back as a standby is for afterwards.

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
    writer = new.open_promotion_session()
    instance.context.report(instance.resource_id, "failover-started", f"Multi-AZ failover started: {REASONS[cause]}")
    instance.refuse()
    running = [replica for replica in replicas if replica.primary.server.alive]
    at, started = dt.datetime.now(dt.UTC), time.monotonic()
    silence = None if cause == "requested" else round((started - old.answered_at) * 1000, 3)
    old.server.fence()
    received = _request_positions(running)
    new.server.promote()
    await_first_write(new.server, writer)
    promotion_ms = (time.monotonic() - started) * 1000
    retire_diverged(_collect_positions(received), new.server)
    record = FailoverRecord(instance.resource_id, cause, at, round(promotion_ms, 3), silence)
    _swap_roles(instance, record)
    instance.accept()
    zone = instance.record.primary.zone
    message = f"Multi-AZ failover completed: the primary is in {zone} now"
    instance.context.report(instance.resource_id, "failover-completed", message, promotion_ms=record.promotion_ms)
    return record


def retire_diverged(received: Mapping[Instance, str | None], promoted: Server) -> None:
    """Close the endpoints of replicas that hold changes which the promoted standby never had.

    An asynchronous replica may have received what the synchronous standby had not; it would serve rows that do not
    exist. One that did not answer in time is taken for such a one.

    Args:
        received: how far each running replica had received when the old primary was gone; None if it did not tell.
        promoted: the new primary.
    """
    for replica, position in received.items():
        if position is None or not promoted.had(position):
            _log.warning("%s is ahead of the new primary and out of service", replica.resource_id)
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
    # On disk before the first client writes: a crash of ours must not bring the old primary back.
    record = instance.record
    if record.standby is None:
        raise LocalError(f"{instance.resource_id} has no standby to swap with: this is a defect, report it")
    failovers = (*record.failovers, failover)[-_REMEMBERED:]
    instance.remember(primary=record.standby, standby=record.primary, failovers=failovers)
    instance.primary, instance.standby = instance.nodes[1], instance.nodes[0]
    instance.synchronous = instance.in_sync = False
    instance.close_promotion_sessions()
    instance.primary.reset_health()


def _request_positions(replicas: Sequence[Instance]) -> dict[Instance, Future[str | None]]:
    """Ask each replica how far it has received, while the standby is promoted."""
    pool = ThreadPoolExecutor(max_workers=max(1, len(replicas)), thread_name_prefix="rdskit-received")
    try:
        return {replica: pool.submit(_received_position, replica) for replica in replicas}
    finally:
        pool.shutdown(wait=False)


def _collect_positions(requested: Mapping[Instance, Future[str | None]]) -> dict[Instance, str | None]:
    """What replicas have told by now, or do in a moment: writers wait for a new primary, and not for its replicas."""
    wait(requested.values(), timeout=_REPLICA_ANSWER)
    return {replica: future.result() if future.done() else None for replica, future in requested.items()}


def _received_position(replica: Instance) -> str | None:
    """How far a replica has received, once it receives nothing more; None if it does not tell."""
    position = replica.primary.server.received(_REPLICA_ANSWER)
    if position is None:
        _log.warning("%s does not tell its position", replica.resource_id)
    return position
