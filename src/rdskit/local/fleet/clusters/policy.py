"""Which reader takes over, and how many must acknowledge: decisions on plain values."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.local.fleet.model import CustomEndpoint


class Quorum(enum.Enum):
    """Whose acknowledgement a commit waits for."""

    ALL = "every reader in sync, as if they shared one storage: an Aurora cluster"
    ONE = "any one of them: a Multi-AZ DB cluster"

    def needed(self, readers: int) -> int:
        """How many acknowledgements a commit waits for where so many readers may give one."""
        return readers if self is Quorum.ALL else min(1, readers)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A reader that may be promoted.

    Attributes:
        resource_id: of the instance.
        tier: its promotion tier: 0 is taken first, 15 last.
        in_sync: every acknowledged commit is known to be on it; with :attr:`Quorum.ONE`, on it or on another one
            that is in sync.
        healthy: it answers.
        waited_for: its acknowledgement counts.
    """

    resource_id: str
    tier: int
    in_sync: bool
    healthy: bool
    waited_for: bool = False


def custom_endpoint_members(endpoint: CustomEndpoint, writer: str, readers: Iterable[str]) -> tuple[str, ...]:
    """Whom a custom endpoint leads to.

    Args:
        endpoint: which.
        writer: the instance that writes.
        readers: the others that accept connections.
    """
    members = (*readers, *(() if endpoint.readers_only else (writer,)))
    if endpoint.static:
        return tuple(each for each in members if each in endpoint.static)
    return tuple(each for each in members if each not in endpoint.excluded)


def promotion_target(candidates: Iterable[Candidate], target: str | None = None) -> str | None:
    """Who is to be promoted: the target if it may be, else the lowest tier; None where nobody may be.

    Args:
        candidates: the readers.
        target: the only one to be considered; None considers all.
    """
    fit = [
        each for each in candidates if each.in_sync and each.healthy and (target is None or each.resource_id == target)
    ]
    return min(fit, key=lambda each: (each.tier, each.resource_id)).resource_id if fit else None


def promotion_candidates(candidates: Iterable[Candidate], quorum: Quorum) -> tuple[str, ...]:
    """Of whom one is to be promoted when the writer is lost; nobody where that might lose a commit.

    Args:
        candidates: the readers.
        quorum: with :attr:`Quorum.ONE` whoever has received most of all is to be promoted, and each of those whose
            acknowledgement may have counted must be there to be asked.
    """
    readers = list(candidates)
    if quorum is Quorum.ALL:
        chosen = promotion_target(readers)
        return (chosen,) if chosen else ()
    asked = [each for each in readers if each.waited_for]
    return tuple(each.resource_id for each in asked) if all(each.in_sync and each.healthy for each in asked) else ()
