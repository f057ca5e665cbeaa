"""Describe faults as values, for the command line, for Python and for the local RDS itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from rdskit.errors import ConfigError

__all__ = ["Fault", "FaultKind", "Path", "parse_seconds"]

FaultKind = Literal["kill", "hang", "blackhole", "latency", "reset", "lag", "full-disk"]
Path = Literal["client", "all"]

_LASTING: Final = frozenset({"hang", "blackhole", "latency", "lag", "full-disk"})
_MEASURED: Final = frozenset({"latency", "lag"})
_LONGEST: Final = 86400.0  # seconds: a day
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "": 1.0}
_DURATION: Final = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>ms|s|m|)")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a DB instance.

    Attributes:
        kind: what happens.
        seconds: of ``latency``: the delay of each answer; of ``lag``: the delay of read replicas.
        path: of ``blackhole``: ``client`` cuts off clients only, ``all`` the local RDS's own probes too.
    """

    kind: FaultKind
    seconds: float = 0.0
    path: Path = "all"

    def __post_init__(self) -> None:
        """Refuse combinations without a meaning.

        Raises:
            ConfigError: no such kind or path, or a duration that the kind does not take.
        """
        if self.kind not in get_args(FaultKind):
            raise ConfigError(f"{self.kind!r} is not a fault: choose one of {', '.join(get_args(FaultKind))}")
        if self.path not in get_args(Path):
            raise ConfigError(f"{self.path!r} is not a path of a black hole: choose client or all")
        if self.path != "all" and self.kind != "blackhole":
            raise ConfigError(f"{self.kind} has no path: leave it out, only a blackhole has one")
        if self.kind in _MEASURED and not 0 < self.seconds <= _LONGEST:
            raise ConfigError(f"{self.kind} needs a duration of up to a day, such as {self.kind} 200ms or 5s")
        if self.kind not in _MEASURED and self.seconds:
            raise ConfigError(f"{self.kind} takes no duration: give the time after which it is cleared with --for")

    @property
    def lasts(self) -> bool:
        """Whether it stays in force until it is cleared. Other faults are over as soon as they have happened."""
        return self.kind in _LASTING

    @property
    def cuts_off(self) -> bool:
        """Whether it hides the server from the local RDS's own probes too."""
        return self.kind == "blackhole" and self.path == "all"


def parse_seconds(text: str) -> float:
    """Return a duration such as ``200ms``, ``5s``, ``1.5m`` or ``5`` in seconds.

    Raises:
        ConfigError: the text is not a duration.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{text!r} is not a duration: write a number and a unit, as in 200ms, 5s or 1m")
    return float(found["number"]) * _UNITS[found["unit"]]
