"""Decisions of the cache: whether an entry is valid, how long it is kept, what a write changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.kernel.position_text import position_from_text
from rdskit.kernel.positions import START
from rdskit.scale.cache.model import ID_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rdskit.kernel.positions import Position
    from rdskit.scale.cache.model import Facts

_JITTER: Final = 0.1  # the share of a TTL by which entries that were stored together expire apart


def stamp_of(epochs: Sequence[bytes | None]) -> bytes | None:
    """Return the ids of epochs as one text, which entries begin with; None where one is missing.

    Their number comes first, so that the stamp of some tables is never the beginning of that of more.

    Args:
        epochs: as they are stored: an id, then the position that goes with it.
    """
    if None in epochs:
        return None
    return len(epochs).to_bytes(2) + b"".join([epoch[:ID_BYTES] for epoch in epochs if epoch is not None])


def is_valid(entry: bytes | None, stamp: bytes | None) -> bool:
    """Return whether an entry was loaded after the latest change of everything that it depends on.

    Args:
        entry: one byte, the stamp that was current when its load began, and the result.
        stamp: the current one, read in the same command.
    """
    return entry is not None and stamp is not None and entry.startswith(stamp, 1)


def position_to_load_at(epochs: Iterable[bytes]) -> Position | None:
    """Return what a host must have replayed to fill an entry; None where only the writer surely has.

    The position of an epoch was read from the writer after the epoch's id was stored, and a write deletes the epoch
    after its COMMIT. So the position covers each write that the id comes after.
    """
    found: Position = START
    for epoch in epochs:
        text = epoch[ID_BYTES:].decode()
        if not text:
            return None
        position = position_from_text(text)
        if found is not START and type(found) is not type(position):
            return None  # the cluster was moved to another engine
        found = found.merge(position)
    return found


def kept_for(ttl: float, uniform: float) -> int:
    """Return how many milliseconds an entry is kept: the TTL, less up to a tenth of it.

    Args:
        ttl: seconds that the caller allows.
        uniform: a random number from [0, 1).
    """
    return max(1, int(ttl * 1000 * (1 - _JITTER * uniform)))


def tables_read(names: Iterable[str], facts: Mapping[str, Facts]) -> tuple[str, ...] | None:
    """Return every table that a query of these relations depends on, sorted; None if it must not be cached.

    Args:
        names: canonical names.
        facts: of each of them, and of all that they lead to.
    """
    found = _closure(names, facts, lambda of: of.sources)
    return None if found is None or not all(facts[name].kept for name in found) else tuple(sorted(found))


def tables_changed(names: Iterable[str], facts: Mapping[str, Facts]) -> frozenset[str] | None:
    """Return every table that a write to these may change; None if it may be any.

    Args:
        names: canonical names.
        facts: of each of them, and of all that they lead to.
    """
    found = _closure(names, facts, lambda of: of.changes)
    return None if found is None or not all(facts[name].certain for name in found) else frozenset(found)


def not_yet_known(names: Iterable[str], facts: Mapping[str, Facts]) -> frozenset[str]:
    """Return the relations that the catalog is still to be asked about, of all that these lead to."""
    seen: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            if name in facts:
                todo += facts[name].sources | facts[name].changes
    return frozenset(seen - facts.keys())


def _closure(
    names: Iterable[str], facts: Mapping[str, Facts], leads_to: Callable[[Facts], frozenset[str]]
) -> set[str] | None:
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        if name not in facts:
            return None
        found.add(name)
        todo += leads_to(facts[name])
    return found
