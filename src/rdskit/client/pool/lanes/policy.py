"""Decide by the measured cost of its runs whether a statement is pipelined."""

from __future__ import annotations

from typing import Final

_EARNED_AFTER: Final = 3  # cheap runs before a statement is pipelined for the first time
_MOST_TRIALS: Final = 1024
_WEIGHT: Final = 0.25  # of the newest run in a moving average
# Seconds above the fastest statement, whose time is about a round trip. A slower read would hold up those behind it,
# because the server answers in order.
_SLOW: Final = 0.005
_MANY: Final = 100  # rows
_KEPT: Final = 1024  # texts; the oldest goes first


class Standing:
    """The measured cost of one statement.

    Attributes:
        earned: its reads are pipelined.
        trials: cheap runs on pooled connections that are still needed before its reads are pipelined (again).
        seconds: moving average of the time of its runs on pooled connections.
        rows: moving average of their rows.
        barred: one of its types has no codec, so it is never pipelined.
    """

    __slots__ = ("_demotions", "barred", "earned", "rows", "seconds", "trials")

    def __init__(self) -> None:
        self.earned = False
        self.trials = _EARNED_AFTER
        self.seconds = 0.0
        self.rows = 0.0
        self.barred = False
        self._demotions = 0

    def ran(self, seconds: float, rows: int, fastest: float) -> None:
        """Record a run on a pooled connection.

        Args:
            seconds: duration of the run.
            rows: number of rows it returned.
            fastest: seconds of the fastest run of any statement.
        """
        first = self.trials == _EARNED_AFTER and self._demotions == 0
        weight = 1.0 if first else _WEIGHT
        self.seconds += weight * (seconds - self.seconds)
        self.rows += weight * (rows - self.rows)
        self.trials = max(0, self.trials - 1)
        is_cheap = self.seconds <= _SLOW + fastest and self.rows <= _MANY
        self.earned = is_cheap and self.trials == 0 and not self.barred

    def demote(self) -> None:
        """Send its next reads to the pool, because one held up others or had a large result."""
        # Four times as many trials with each demotion, so that a statement with varying cost is rarely tried again.
        self._demotions += 1
        self.earned = False
        self.trials = min(_MOST_TRIALS, _EARNED_AFTER << (2 * self._demotions))

    def bar(self) -> None:
        """Exclude the statement from pipelining for good."""
        self.barred, self.earned = True, False


class Standings(dict[str, Standing]):
    """The standing of each statement, by its text.

    Attributes:
        fastest: seconds of the fastest run on a pooled connection so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fastest = _SLOW

    def of(self, text: str) -> Standing:
        """Return a statement's standing, and create it at the first call."""
        found = self.get(text)
        if found is None:
            if len(self) >= _KEPT:
                del self[next(iter(self))]
            found = self[text] = Standing()
        return found

    def ran(self, text: str, seconds: float, rows: int) -> None:
        """Record a run on a pooled connection."""
        self.fastest = min(self.fastest, seconds)
        self.of(text).ran(seconds, rows, self.fastest)

    def earned(self) -> list[str]:
        """Return the statements whose reads are pipelined."""
        return [text for text, standing in self.items() if standing.earned]
