"""The retry budget that all calls of one database share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdskit.kernel.budget import RetryBudget


class Retries:
    """Says whether a call may be sent again.

    Attributes:
        budget: what is left.
        in_debt: tokens are missing, so that a success counts; a plain attribute, because every call reads it.
    """

    def __init__(self, budget: RetryBudget) -> None:
        self.budget = budget
        self.in_debt = False

    def may_retry(self) -> bool:
        """Take the tokens of one retry; False when there are not enough."""
        left = self.budget.retried()
        if left is None:
            return False
        self._keep(left)
        return True

    def timed_out(self) -> None:
        """A call ran into its deadline."""
        self._keep(self.budget.timed_out())

    def succeeded(self) -> None:
        """A call went well."""
        self._keep(self.budget.succeeded())

    def _keep(self, budget: RetryBudget) -> None:
        self.budget = budget
        self.in_debt = budget.spent > 0
