"""How often a test repeats something: a few rounds in the gate, many in ``make soak``."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from _pytest.mark.structures import ParameterSet

SOAK_TIMEOUT = 3600  # seconds for one test


def soak(*values: Any) -> list[ParameterSet]:
    """Return parameters that only ``make soak`` runs."""
    marks = (pytest.mark.soak, pytest.mark.timeout(SOAK_TIMEOUT))
    return [pytest.param(value, marks=marks) for value in values]


def gate_and_soak(gate: Any, many: Any) -> Sequence[ParameterSet]:
    """Return two values of a parameter: one for the gate, and one that only ``make soak`` runs."""
    (last,) = soak(many)
    return [pytest.param(gate, id="gate"), pytest.param(*last.values, marks=last.marks, id="soak")]


def for_seconds(seconds: float) -> Iterator[int]:
    """Yield the numbers from 0 until the time has passed."""
    end = time.monotonic() + seconds
    return itertools.takewhile(lambda _: time.monotonic() < end, itertools.count())
