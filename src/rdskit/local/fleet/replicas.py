"""Create read replicas as physical copies, and keep them following their source through its failovers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.engines.waiting import poll

if TYPE_CHECKING:
    from pathlib import Path

    from rdskit.local.fleet.engine import Upstream
    from rdskit.local.fleet.instance import Instance

_log = logging.getLogger(__name__)

_STREAM: Final = 10.0  # seconds until a started replica must stream; recovery before that is part of the start
# Marker file beside a data directory whose copy has begun and not finished. It survives a crash of the daemon.
_INCOMPLETE: Final = "incomplete"


def build(replica: Instance) -> None:
    """Copy the source and start streaming from it. The caller holds the replica's lock.

    Raises:
        LocalError: the source could not be copied.
    """
    replica.check_open()
    source = _source(replica)
    server, mark = replica.primary.server, _mark(replica)
    server.kill()
    # The mark covers the time in which the data directory is missing or half a copy.
    mark.touch()
    server.remove()
    server.clone(source.primary.server)
    mark.unlink()
    replica.start_primary()
    _await_stream(replica)


def is_incomplete(replica: Instance) -> bool:
    """Return whether a copy of the source was begun and never finished. Only another copy helps then."""
    return _mark(replica).exists()


def follow(replica: Instance) -> None:
    """Make a replica stream from its source's present primary; rebuild it if their histories have diverged.

    The caller holds the replica's lock.

    Raises:
        LocalError: it does not stream in the end.
    """
    # retire_diverged() has found changes here that the new primary lost. Streaming would keep them.
    if replica.diverged:
        rejoin(replica)
        return
    server = replica.primary.server
    try:
        replica.configure()
        server.stream(_upstream(replica))
        replica.note_stream()
        _await_stream(replica)
    except LocalError as error:
        _log.info("%s is rebuilt: %s", replica.resource_id, error)
        rejoin(replica)


def rejoin(replica: Instance) -> None:
    """Bring a replica's history back to its source's: rewind it, or copy it again if that fails.

    The caller holds the replica's lock.

    Raises:
        LocalError: both ways failed.
    """
    # Clients out first: until the end of this, reads could return rows that the source lost.
    replica.refuse()
    try:
        _rewind(replica)
        replica.start_primary()
        _await_stream(replica)
    except LocalError as error:
        _log.info("%s cannot be rewound: %s", replica.resource_id, error)
        build(replica)
    _put_in_service(replica)


def readmit(replica: Instance) -> None:
    """Return a rebuilt replica to service if it began to stream after its rebuild had timed out.

    The caller holds the replica's lock.

    Raises:
        LocalError: it does not stream, or its history has diverged and could not be brought back.
    """
    server = replica.primary.server
    if replica.diverged:
        rejoin(replica)
    elif server.alive and server.is_standby:
        _await_stream(replica)
        _put_in_service(replica)


def _put_in_service(replica: Instance) -> None:
    replica.diverged = False
    replica.accept()
    replica.context.report(replica.resource_id, "replica-rebuilt", "The read replica was rebuilt from its source")


def _rewind(replica: Instance) -> None:
    if is_incomplete(replica):
        raise LocalError("its copy was not finished")
    server = replica.primary.server
    server.stop(timeout=_STREAM)
    server.rewind(_source(replica).primary.server)


def _mark(replica: Instance) -> Path:
    return replica.primary.server.data.parent / _INCOMPLETE


def _await_stream(replica: Instance) -> None:
    """Wait until the replica streams."""
    server = replica.primary.server
    with server.connect() as session:
        # A deletion waits for this thread, so the poll ends as soon as ``closing`` is set.
        if not poll(lambda: replica.closing.is_set() or server.streams(session), timeout=_STREAM, interval=0.02):
            raise LocalError(f"{replica.resource_id} does not stream: {server.log_excerpt()}")


def _source(replica: Instance) -> Instance:
    if replica.source is None:
        raise LocalError(f"{replica.resource_id} is not a read replica: it has no source")
    return replica.source()


def _upstream(replica: Instance) -> Upstream:
    if replica.upstream is None:
        raise LocalError(f"{replica.resource_id} is not a read replica: it has no source")
    return replica.upstream
