"""Handle the keys of the live view."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from rdskit.operate.top.policy import SORTS

INTERVALS: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds between two polls, selected by + and -."""
_SEQUENCE: Final = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|O.)")  # ECMA-48: what arrows and the like send


@dataclass(frozen=True, slots=True)
class Look:
    """The display settings that the keys change.

    Attributes:
        interval: seconds between two polls of a host.
        sort: one of ``SORTS``.
        paused: the display is frozen.
        help: show the help on keys and columns.
        ended: the user has quit.
    """

    interval: float = 1.0
    sort: str = "role"
    paused: bool = False
    help: bool = False
    ended: bool = False


def pressed(look: Look, keys: str) -> Look:
    """Return the settings after some keys; a key without a meaning, such as an arrow, changes nothing.

    Args:
        look: the settings before.
        keys: the terminal's input; empty if the terminal is gone.
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
