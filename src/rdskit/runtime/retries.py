"""Hold the retry budget that all calls of one database share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdskit.kernel.budget import RetryBudget


class Retries:
    """Decide whether a call may be retried.

    Attributes:
        budget: the current budget.
        in_debt: tokens are missing, so successes must be recorded; a plain attribute, because every call reads it.
    """

    def __init__(self, budget: RetryBudget) -> None:
        self.budget = budget
        self.in_debt = False

    def may_retry(self) -> bool:
        """Take the tokens of one retry; return False if there are not enough."""
        left = self.budget.retried()
        if left is None:
            return False
        self._set_budget(left)
        return True

    def timed_out(self) -> None:
        """Take the tokens of a call that ran into its deadline."""
        self._set_budget(self.budget.timed_out())

    def succeeded(self) -> None:
        """Put back the tokens that a successful call earns."""
        self._set_budget(self.budget.succeeded())

    def _set_budget(self, budget: RetryBudget) -> None:
        self.budget = budget
        self.in_debt = budget.spent > 0
