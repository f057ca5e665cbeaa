"""Which reader takes over: a decision on plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Candidate:
    """A reader that may be promoted.

    Attributes:
        resource_id: of the instance.
        tier: its promotion tier: 0 is taken first, 15 last.
        in_sync: every acknowledged commit is known to be on it.
        healthy: it answers.
    """

    resource_id: str
    tier: int
    in_sync: bool
    healthy: bool


def heir(candidates: Iterable[Candidate], target: str | None = None) -> str | None:
    """Who is to be promoted: the target if it may be, else the lowest tier; None where nobody may be.

    Args:
        candidates: the readers.
        target: the only one to be considered; None considers all.
    """
    fit = [
        each for each in candidates if each.in_sync and each.healthy and (target is None or each.resource_id == target)
    ]
    return min(fit, key=lambda each: (each.tier, each.resource_id)).resource_id if fit else None
