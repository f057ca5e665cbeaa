"""The values of the cache: what an entry is made of, and what is known of a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

ID_BYTES: Final = 12
"""Length of an epoch's id: random, so that an id never returns after its epoch was evicted."""
STORED: Final = b"\x01"
"""First byte of an entry that holds a result."""
NOT_KEPT: Final = b"\x02"
"""First byte of an entry that says: this result cannot be kept, so do not wait for another process to keep it."""


class Facts(NamedTuple):
    """What the catalog says of one table, view or materialized view.

    Attributes:
        kept: results of it may be cached, because each change of it goes through a table that we see.
        sources: other relations whose changes change what a query sees: a view's tables, those of row policies.
        changes: other tables that a write to it may change: by cascades, partitions, or as a view's tables.
        certain: those are all. False where a trigger or a rule may change anything.
    """

    kept: bool
    sources: frozenset[str]
    changes: frozenset[str]
    certain: bool


@dataclass(frozen=True, slots=True)
class Resolved:
    """The tables behind the names that a statement reads.

    Attributes:
        tables: canonical names, sorted; None where the result must not be cached.
        generation: the id of the namespace epoch under which the catalog was asked.
    """

    tables: tuple[str, ...] | None
    generation: bytes


class Identity(NamedTuple):
    """Whose results these are: entries of one user are never served to another.

    Attributes:
        database: the name of the database.
        user: the user or role that the server runs statements as.
    """

    database: str
    user: str


@dataclass(slots=True)
class CacheStats:
    """What a cache object has done since it was opened.

    Attributes:
        hits: calls that were answered from the cache.
        misses: calls that found no valid entry.
        joined: misses that were answered by the load of another caller in this process.
        waited: misses that were answered by the load of another process.
        loads: queries that were sent to the database, and calls of loaders.
        bypassed: calls that went to the database because they must not be cached, or because ``use=False``.
        unavailable: calls that went to the database because the cache could not be reached in time.
        stored: results that were written to the cache.
        invalidations: writes, and calls of ``invalidate``.
        outages: times that the cache was lost, silent, or refused an invalidation.
    """

    hits: int = field(default=0)
    misses: int = field(default=0)
    joined: int = field(default=0)
    waited: int = field(default=0)
    loads: int = field(default=0)
    bypassed: int = field(default=0)
    unavailable: int = field(default=0)
    stored: int = field(default=0)
    invalidations: int = field(default=0)
    outages: int = field(default=0)
