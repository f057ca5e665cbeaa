"""The database router, and the unit of work in which reads may go to replicas."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connections

from rdskit.integrations.django.policy import Aliases, Reading, alias_for_read

if TYPE_CHECKING:
    from collections.abc import Iterator

_reading: ContextVar[Reading | None] = ContextVar("rdskit_reading", default=None)


@contextlib.contextmanager
def reading_from_replicas(*, pinned: bool = False) -> Iterator[Reading]:
    """Let reads in the block go to replicas until the block writes, and to the writer from then on.

    The middleware does this for each request; a Celery task or a command must use it itself.

    Args:
        pinned: read from the writer from the start.
    """
    reading = Reading(pinned=set(connections) if pinned else set())
    token = _reading.set(reading)
    try:
        yield reading
    finally:
        _reading.reset(token)


def pin(alias: str = DEFAULT_DB_ALIAS) -> None:
    """Read from the writer for the rest of the request, as if it had written."""
    reading = _reading.get()
    if reading is not None:
        reading.pinned.add(alias)


def note_write(alias: str) -> None:
    """Pin the alias, and record that the unit of work has written."""
    reading = _reading.get()
    if reading is not None:
        reading.pinned.add(alias)
        reading.wrote = True


def aliases() -> Aliases:
    """Return the assignment of readers to writers in ``DATABASES``."""
    options = ((alias, entry.get("OPTIONS") or {}) for alias, entry in connections.settings.items())
    return Aliases({alias: given["reader_of"] for alias, given in options if given.get("reader_of")})


class Router:
    """Route reads to replicas and everything else to the writer.

    A request reads from replicas until it writes. From its first write on, and within a transaction, it reads from the
    writer. Migrations run on writers only.
    """

    def db_for_read(self, model: type[Any], **hints: Any) -> str | None:  # noqa: ARG002 - Django's signature
        """Return the reader's alias, or the writer's after a write of the request."""
        known, near = aliases(), _near(hints)
        in_transaction = connections[known.writer_of(near)].in_atomic_block
        return alias_for_read(known, near, _reading.get(), in_transaction=in_transaction)

    def db_for_write(self, model: type[Any], **hints: Any) -> str | None:  # noqa: ARG002 - Django's signature
        """Return the writer's alias, also for an object that was read from a replica."""
        known, near = aliases(), _near(hints)
        return known.writer_of(near) if known.reader_of(known.writer_of(near)) else None

    def allow_relation(self, obj1: Any, obj2: Any, **_: Any) -> bool | None:
        """Allow relations between objects of a writer and of its replicas."""
        known = aliases()
        same = known.writer_of(obj1._state.db) == known.writer_of(obj2._state.db)  # noqa: SLF001 - Django's own way
        return True if same else None

    def allow_migrate(self, db: str, app_label: str, **_: Any) -> bool | None:  # noqa: ARG002 - Django's signature
        """Forbid migrations on readers."""
        return False if db in aliases().writers else None


def _near(hints: dict[str, Any]) -> str:
    instance = hints.get("instance")
    found: str | None = None if instance is None else instance._state.db  # noqa: SLF001 - Django's routers read it
    return found or DEFAULT_DB_ALIAS
