"""The retry budget: an outage cannot be multiplied, and a client that recovers may retry again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rdskit.kernel.budget import RETRY_COST, RetryBudget, budget_for

CALLS = st.lists(st.sampled_from(["retry", "timeout", "success"]), max_size=400)


def play(budget: RetryBudget, calls: list[str]) -> tuple[RetryBudget, int]:
    """Return the budget after some calls, and how many retries it allowed."""
    allowed = 0
    for call in calls:
        if call == "retry":
            left = budget.retried()
            allowed += left is not None
            budget = left or budget
        else:
            budget = budget.timed_out() if call == "timeout" else budget.succeeded()
    return budget, allowed


@given(CALLS, st.integers(10, 600))
def test_tokens_are_never_overdrawn_nor_made_from_nothing(calls: list[str], capacity: int) -> None:
    budget, _ = play(RetryBudget(capacity), calls)
    assert 0 <= budget.spent <= capacity
    assert budget.capacity == capacity


@given(CALLS, st.integers(10, 600))
def test_retries_are_a_burst_and_then_a_share_of_the_successes(calls: list[str], capacity: int) -> None:
    _, allowed = play(RetryBudget(capacity), calls)
    assert allowed * RETRY_COST <= capacity + calls.count("success")


def test_in_a_full_outage_a_hundred_calls_are_retried_and_no_more() -> None:
    budget, allowed = play(RetryBudget(), ["retry"] * 10_000)
    assert allowed == 100
    assert budget.retried() is None
    assert play(budget, ["success"] * 4)[0].retried() is None
    assert play(budget, ["success"] * 5)[0].retried() is not None


def test_a_server_that_lets_calls_time_out_is_not_asked_twice() -> None:
    budget, _ = play(RetryBudget(), ["timeout"] * 50)
    assert budget.retried() is None


@given(st.integers(1, 5000))
def test_one_failover_never_exhausts_it(max_size: int) -> None:
    _, allowed = play(budget_for(max_size), ["retry"] * max_size * 4)
    assert allowed == max_size * 4
