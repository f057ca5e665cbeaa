"""Choose the reader to promote, and count the acknowledgements of a commit. Plain values in, plain values out."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.local.fleet.model import CustomEndpoint


class Quorum(enum.Enum):
    """Readers whose acknowledgement a commit waits for."""

    ALL = "every reader in sync, as if they shared one storage: an Aurora cluster"
    ONE = "any one of them: a Multi-AZ DB cluster"

    def needed(self, readers: int) -> int:
        """Return the number of acknowledgements that a commit waits for, given the number of readers."""
        return readers if self is Quorum.ALL else min(1, readers)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Reader that may be promoted.

    Attributes:
        resource_id: of the instance.
        tier: its promotion tier: 0 is promoted first, 15 last.
        in_sync: whether it has every acknowledged commit; with :attr:`Quorum.ONE`, it or another reader in sync has.
        healthy: whether it answers probes.
        waited_for: whether its acknowledgement counts.
    """

    resource_id: str
    tier: int
    in_sync: bool
    healthy: bool
    waited_for: bool = False


def custom_endpoint_members(endpoint: CustomEndpoint, writer: str, readers: Iterable[str]) -> tuple[str, ...]:
    """Return the instances that a custom endpoint routes to.

    Args:
        endpoint: the endpoint.
        writer: the instance that writes.
        readers: the other instances that accept connections.
    """
    members = (*readers, *(() if endpoint.readers_only else (writer,)))
    if endpoint.static:
        return tuple(each for each in members if each in endpoint.static)
    return tuple(each for each in members if each not in endpoint.excluded)


def promotion_target(candidates: Iterable[Candidate], target: str | None = None) -> str | None:
    """Return the reader to promote: the target if it is fit, else the lowest tier; None if no reader is fit.

    Args:
        candidates: the readers.
        target: the only reader to consider; None considers all.
    """
    fit = [
        each for each in candidates if each.in_sync and each.healthy and (target is None or each.resource_id == target)
    ]
    # The resource id breaks ties, so that the choice does not depend on the order of the members.
    return min(fit, key=lambda each: (each.tier, each.resource_id)).resource_id if fit else None


def promotion_candidates(candidates: Iterable[Candidate], quorum: Quorum) -> tuple[str, ...]:
    """Return the readers of which one replaces a lost writer; none if that might lose a commit.

    Args:
        candidates: the readers.
        quorum: with :attr:`Quorum.ONE` the most advanced reader is promoted. All readers whose acknowledgement may have
            counted must be there to report their positions.
    """
    readers = list(candidates)
    if quorum is Quorum.ALL:
        chosen = promotion_target(readers)
        return (chosen,) if chosen else ()
    asked = [each for each in readers if each.waited_for]
    return tuple(each.resource_id for each in asked) if all(each.in_sync and each.healthy for each in asked) else ()
