"""Limit the retries of a client while many calls fail."""

from __future__ import annotations

from typing import NamedTuple

RETRY_COST = 5
TIMEOUT_COST = 10


class RetryBudget(NamedTuple):
    """Tokens that retries take and successes return, so that retries never amplify an outage.

    Source: the retry quota of the AWS SDKs' standard mode (500 tokens; a retry costs 5, a timeout 10, a success gives
    1 back).

    Attributes:
        capacity: tokens in a full budget.
        spent: tokens taken and not yet returned.
    """

    capacity: int = 500
    spent: int = 0

    @property
    def retries_left(self) -> int:
        """How many retries the remaining tokens pay for."""
        return (self.capacity - self.spent) // RETRY_COST

    def retried(self) -> RetryBudget | None:
        """Return the budget after one more retry; None if its tokens do not suffice."""
        spent = self.spent + RETRY_COST
        return None if spent > self.capacity else self._replace(spent=spent)

    def timed_out(self) -> RetryBudget:
        """Return the budget after a call that ran into its deadline; an overloaded server must not get more calls."""
        return self._replace(spent=min(self.capacity, self.spent + TIMEOUT_COST))

    def succeeded(self) -> RetryBudget:
        """Return the budget after a successful call."""
        return self._replace(spent=max(0, self.spent - 1))


def budget_for(max_size: int) -> RetryBudget:
    """Return the budget of a client whose pool holds ``max_size`` connections.

    One failover loses all connections at once. The budget allows four retries for each call that ran on them.
    """
    return RetryBudget(max(500, 4 * RETRY_COST * max_size))
