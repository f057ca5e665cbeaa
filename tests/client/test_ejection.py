"""Which readers are left alone, and how many reads the writer takes over: pure decisions in virtual time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rdskit.client.replicas.ejection import EJECTION, ERRORS_IN_A_ROW, LONGEST_EJECTION, Record, not_ejected
from rdskit.client.replicas.spill import SpillBudget


def _after_errors(record: Record, now: float, count: int = ERRORS_IN_A_ROW) -> Record:
    for _ in range(count):
        record = record.failed(now, others_ejected=0, fleet=2)
    return record


def test_five_errors_in_a_row_and_not_in_all() -> None:
    record = _after_errors(Record(), 0.0, ERRORS_IN_A_ROW - 1).succeeded()
    record = _after_errors(record, 0.0, ERRORS_IN_A_ROW - 1)
    assert not record.is_ejected(0.0)
    assert _after_errors(record, 0.0, 1).is_ejected(0.0)


def test_each_ejection_is_longer_up_to_a_limit_and_good_conduct_counts() -> None:
    record, now = Record(), 0.0
    for number in range(1, 20):
        record = _after_errors(record, now)
        length = min(EJECTION * number, LONGEST_EJECTION)
        assert record.is_ejected(now + length - 0.1)
        now += length
        assert not record.is_ejected(now)
    record = _after_errors(record, now + LONGEST_EJECTION + 1)
    assert record.until == now + LONGEST_EJECTION + 1 + EJECTION


Step = tuple[int, bool, float]


@given(st.integers(1, 6), st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(0, 20)), max_size=200))
def test_never_more_than_half_of_the_fleet_and_always_somebody(fleet: int, steps: list[Step]) -> None:
    now, records = 0.0, [Record() for _ in range(fleet)]
    for which, well, pause in steps:
        index = which % fleet
        others = sum(r.is_ejected(now) for i, r in enumerate(records) if i != index)
        record = records[index]
        records[index] = record.succeeded() if well else record.failed(now, others_ejected=others, fleet=fleet)
        assert 2 * sum(r.is_ejected(now) for r in records) <= fleet
        assert not_ejected(records, lambda r: r, now)
        now += pause


def test_when_only_ejected_ones_are_left_they_are_used() -> None:
    ejected = _after_errors(Record(), 0.0)
    assert not_ejected([ejected, Record()], lambda r: r, 1.0) == [Record()]
    assert not_ejected([ejected], lambda r: r, 1.0) == [ejected]
    assert not_ejected([], lambda r: r, 1.0) == []


@given(st.floats(0.0, 1.0), st.lists(st.booleans(), max_size=600))
def test_no_more_than_the_share_and_one_burst_go_to_the_writer(share: float, wishes: list[bool]) -> None:
    budget, spilled = SpillBudget(share), 0
    for wants_writer in wishes:
        budget = budget.read()
        left = budget.spilled() if wants_writer else None
        if left is not None:
            budget, spilled = left, spilled + 1
    assert spilled <= share * len(wishes) + 50 + 1e-6


def test_without_a_share_there_is_no_limit_and_with_one_the_writer_recovers() -> None:
    budget: SpillBudget | None = SpillBudget(None)
    for _ in range(1000):
        assert budget is not None
        budget = budget.read().spilled()
    poor = SpillBudget(0.2, 0.0)
    for _ in range(4):
        poor = poor.read()
        assert poor.spilled() is None
    assert poor.read().spilled() is not None
