"""Count the attempts of a call, and describe them in its final error."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rdskit.errors import RdskitError

#: Errors that concurrent work causes, and the advice for applications that receive them often.
_CONFLICTS: Final = frozenset({"DeadlockError", "SerializationError"})
_FEWER_CONFLICTS: Final = "lock rows in one order everywhere, do less in one transaction, or raise timeout="


class Attempts:
    """Count the failed attempts of one call by the class of their error."""

    def __init__(self) -> None:
        self._errors: Counter[str] = Counter()

    def failed(self, error: BaseException) -> int:
        """Count a failed attempt; return how many failed with an error of the same class."""
        name = type(error).__name__
        self._errors[name] += 1
        return self._errors[name]

    @property
    def total(self) -> int:
        """How many attempts failed."""
        return self._errors.total()

    def summary(self, subject: str, reason: str) -> str:
        """Return a sentence on what was attempted, how often, and why it is not attempted again.

        Args:
            subject: the closure or the statement.
            reason: why there is no further attempt.
        """
        errors = ", ".join(f"{count} {name}" for name, count in self._errors.most_common())
        conflicts = sum(self._errors[name] for name in _CONFLICTS)
        advice = f"; {_FEWER_CONFLICTS}" if conflicts > self.total / 2 else ""
        times = "once" if self.total == 1 else f"{self.total} times"
        return f"{subject} was attempted {times} ({errors}) and is given up, because {reason}{advice}"


def explain(error: RdskitError, text: str) -> None:
    """Append a text to the message of an error that is about to be raised again; traceback and cause stay."""
    error.args = (f"{error}; {text}", *error.args[1:])
