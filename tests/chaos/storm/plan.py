"""What a storm does and when: drawn from a seed, so that the same seed strikes in the same way again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from rdskit.local import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.local.fault_model import Fault

Aim = Literal["writer", "reader"]
PAUSE: Final = 2.0
"""Seconds between two strikes on average: shorter than most faults last, so that several are in force at times."""

# How often which fault hits, among strikes at one aim.
_WRITER: Final = {"failover": 3, "kill": 3, "hang": 2, "dark": 2, "cut": 2, "latency": 3, "reset": 3, "lag": 2}
_READER: Final = {"kill": 2, "hang": 2, "dark": 1, "cut": 2, "latency": 3, "reset": 3, "lag": 3}
_WRITER_SHARE: Final = 0.6


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault.

    Attributes:
        at: seconds after the storm has begun.
        aim: the role that is hit; who has it, the moment of the strike decides.
        number: which of several readers.
        fault: what happens; None is a failover that is asked for.
        lasting: seconds after which it is cleared; None for what is over at once.
    """

    at: float
    aim: Aim
    number: int
    fault: Fault | None
    lasting: float | None = None

    def __str__(self) -> str:
        """In short, for a report."""
        what = "failover" if self.fault is None else f"{self.fault.kind}"
        what += " (clients only)" if self.fault is not None and self.fault.path == "client" else ""
        return f"{self.at:.1f} s {self.aim}: {what}" + (f" for {self.lasting:.1f} s" if self.lasting else "")


def strikes(seed: int, seconds: float) -> tuple[Strike, ...]:
    """All strikes of a storm, in their order.

    Args:
        seed: decides everything.
        seconds: how long it strikes.
    """
    chance = random.Random(seed)
    return tuple(_strike(chance, at) for at in _moments(chance, seconds))


def _moments(chance: random.Random, seconds: float) -> Iterator[float]:
    at = chance.expovariate(1 / PAUSE)
    while at < seconds:
        yield at
        at += chance.expovariate(1 / PAUSE)


def _strike(chance: random.Random, at: float) -> Strike:
    aim: Aim = "writer" if chance.random() < _WRITER_SHARE else "reader"
    weights = _WRITER if aim == "writer" else _READER
    (kind,) = chance.choices(list(weights), list(weights.values()))
    fault, lasting = _fault(kind, chance)
    return Strike(round(at, 3), aim, chance.randrange(100), fault, lasting)


def _fault(kind: str, chance: random.Random) -> tuple[Fault | None, float | None]:
    """Choose a fault and how long it lasts."""
    lasting = round(chance.uniform(0.3, 6.0), 3)
    lasting_faults = {
        "hang": faults.hang(),
        "dark": faults.blackhole(),
        "cut": faults.blackhole(path="client"),
        "latency": faults.latency(round(chance.uniform(0.02, 0.4), 3)),
        "lag": faults.lag(chance.randint(1, 5)),
    }
    if kind in lasting_faults:
        return lasting_faults[kind], lasting
    return {"failover": None, "kill": faults.kill(), "reset": faults.reset()}[kind], None
