"""What the keys do."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from rdskit.operate.top.policy import SORTS

INTERVALS: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds between two looks, through which + and - go."""
_SEQUENCE: Final = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|O.)")  # ECMA-48: what arrows and the like send


@dataclass(frozen=True, slots=True)
class Look:
    """How the watcher wants to see it.

    Attributes:
        interval: seconds between two looks at a host.
        sort: one of ``SORTS``.
        paused: the frame is an old one on purpose.
        help: show what the keys and columns mean.
        ended: the watcher has seen enough.
    """

    interval: float = 1.0
    sort: str = "role"
    paused: bool = False
    help: bool = False
    ended: bool = False


def pressed(look: Look, keys: str) -> Look:
    """What follows from keys; one that means nothing, such as an arrow, changes nothing.

    Args:
        look: before.
        keys: as the terminal sends them; empty when it has gone.
    """
    if not keys:
        return replace(look, ended=True)
    for key in _SEQUENCE.sub("", keys):
        look = _after(look, key)
    return look


def _after(look: Look, key: str) -> Look:
    match key:
        case "q":
            look = replace(look, ended=True)
        case "p":
            look = replace(look, paused=not look.paused)
        case "s":
            look = replace(look, sort=SORTS[(SORTS.index(look.sort) + 1) % len(SORTS)])
        case "?":
            look = replace(look, help=not look.help)
        case "+":
            look = replace(look, interval=next((each for each in INTERVALS if each > look.interval), look.interval))
        case "-":
            shorter = (each for each in reversed(INTERVALS) if each < look.interval)
            look = replace(look, interval=next(shorter, look.interval))
    return look
