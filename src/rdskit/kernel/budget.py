"""How many retries a client may send while much goes wrong."""

from __future__ import annotations

from typing import NamedTuple

RETRY_COST = 5
TIMEOUT_COST = 10


class RetryBudget(NamedTuple):
    """Tokens that retries take and successes give back, so that retries never multiply an outage.

    Source: the retry quota of the AWS SDKs' standard mode (500 tokens; a retry costs 5, a timeout 10, a success gives
    1 back).

    Attributes:
        capacity: tokens when all is well.
        spent: tokens taken and not yet given back.
    """

    capacity: int = 500
    spent: int = 0

    @property
    def retries_left(self) -> int:
        """How many retries it still pays for."""
        return (self.capacity - self.spent) // RETRY_COST

    def retried(self) -> RetryBudget | None:
        """The budget after one more retry; None when there is none left."""
        spent = self.spent + RETRY_COST
        return None if spent > self.capacity else self._replace(spent=spent)

    def timed_out(self) -> RetryBudget:
        """The budget after a call that ran into its deadline: a server that is too slow is not to be asked twice."""
        return self._replace(spent=min(self.capacity, self.spent + TIMEOUT_COST))

    def succeeded(self) -> RetryBudget:
        """The budget after a call that went well."""
        return self._replace(spent=max(0, self.spent - 1))


def budget_for(max_size: int) -> RetryBudget:
    """The budget of a client whose pool holds ``max_size`` connections.

    One failover loses all of them at once: the calls on them may be sent again, four times over.
    """
    return RetryBudget(max(500, 4 * RETRY_COST * max_size))
