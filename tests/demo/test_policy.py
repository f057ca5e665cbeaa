"""The demo's accounting, on plain values: each kind of wrong must show."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdskit.demo.model import Books, Failover, Figures, Journal, Outcome, Read, Write
from rdskit.demo.policy import complaints, figures_of, first_writes_after, longest_gap, percentile, pulse_of, slices

FAILOVER = Failover(at=1.0, promotion=0.2)


def write(key: str, ended: float, *, writer: int = 0, outcome: Outcome = Outcome.ACKNOWLEDGED) -> Write:
    error = None if outcome is Outcome.ACKNOWLEDGED else "FailoverError"
    return Write(key, writer, started=ended - 0.01, ended=ended, outcome=outcome, error=error)


def good_run() -> tuple[Journal, Books]:
    writes = [write("a", 0.5), write("b", 0.99, writer=1), write("c", 1.25), write("d", 1.3, writer=1)]
    reads = [Read(started=0.5, ended=0.51, found=True)]
    return Journal(writes, reads), Books({"a": 1, "b": 1, "c": 1, "d": 1}, unpaid=0, stock_difference=0)


def settle(journal: Journal, books: Books, failover: Failover | None = FAILOVER) -> Figures:
    return figures_of(journal, books, failover, writers=2, end=1.4)


def test_a_good_run_has_nothing_to_complain_about() -> None:
    figures = settle(*good_run())
    assert complaints(figures) == []
    assert (figures.acknowledged, figures.present, figures.lost, figures.duplicated) == (4, 4, 0, 0)
    assert figures.outage_ms == pytest.approx(490)
    assert figures.promotion_ms == 200
    assert figures.first_write_after_ms_per_writer == (250.0, 300.0)
    assert figures.first_write_after_ms == 300
    assert figures.write_p50_ms == pytest.approx(10)


def test_an_acknowledged_order_that_is_absent_is_lost() -> None:
    journal, books = good_run()
    figures = settle(journal, replace(books, orders={"a": 1, "b": 1, "c": 1}))
    assert figures.lost == 1
    assert complaints(figures) == ["1 acknowledged orders are lost"]


def test_a_business_key_that_is_there_twice_is_duplicated() -> None:
    journal, books = good_run()
    figures = settle(journal, replace(books, orders={**books.orders, "c": 2}))
    assert (figures.duplicated, figures.present, figures.lost) == (1, 5, 0)
    assert complaints(figures) == ["1 orders are there twice"]


def test_unknown_outcomes_stand_apart_whether_they_happened_or_not() -> None:
    journal, books = good_run()
    journal.writes += [write(key, 1.0, outcome=Outcome.UNKNOWN) for key in ("u1", "u2")]
    figures = settle(journal, replace(books, orders={**books.orders, "u1": 1}))
    assert (figures.unknown, figures.unknown_present, figures.lost, figures.duplicated) == (2, 1, 0, 0)
    assert complaints(figures) == []
    assert figures.errors == {"FailoverError": 2}


def test_a_failed_order_that_is_there_all_the_same_is_a_broken_promise() -> None:
    journal, books = good_run()
    journal.writes.append(write("f", 1.0, outcome=Outcome.FAILED))
    assert complaints(settle(journal, books)) == []
    broken = settle(journal, replace(books, orders={**books.orders, "f": 1}))
    assert broken.failed_present == 1
    assert complaints(broken) == ["1 orders are there although their calls reported a failure"]


def test_an_answered_read_without_the_order_is_stale_and_an_unanswered_one_is_not() -> None:
    journal, books = good_run()
    journal.reads += [Read(0.6, 0.61, found=False), Read(0.6, 0.61, found=None, error="ConnectError")]
    figures = settle(journal, books)
    assert (figures.reads, figures.stale_reads, figures.failed_reads) == (2, 1, 1)
    assert complaints(figures) == ["1 reads did not see an order acknowledged before"]


def test_a_run_without_a_failover_proves_nothing() -> None:
    figures = settle(*good_run(), None)
    assert figures.promotion_ms is None
    assert figures.first_write_after_ms is None
    assert complaints(figures) == ["no failover happened"]


def test_a_writer_that_never_comes_back_is_a_complaint() -> None:
    journal, books = good_run()
    journal.writes = [w for w in journal.writes if w.key != "d"]
    figures = settle(journal, replace(books, orders={"a": 1, "b": 1, "c": 1}))
    assert figures.first_write_after_ms_per_writer == (250.0, None)
    assert complaints(figures) == ["not every writer came back after the failover"]


def test_books_that_do_not_balance_are_a_complaint() -> None:
    journal, books = good_run()
    assert complaints(settle(journal, replace(books, unpaid=2, stock_difference=-3))) == [
        "2 orders have no payment, or several",
        "the stock is off by -3",
    ]


def test_an_answer_on_its_way_when_the_primary_died_is_no_first_write() -> None:
    writes = [write("in flight", 1.05), write("after", 1.35)]
    (first,) = first_writes_after(writes, FAILOVER, 1)
    assert first == pytest.approx(0.35)


def test_a_silence_until_the_end_is_an_outage_too() -> None:
    assert longest_gap([0.1, 0.2], end=5.0) == (0.2, 5.0)
    assert longest_gap([], end=5.0) == (5.0, 5.0)


def test_percentile_is_the_nearest_rank() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert percentile([], 0.5) == 0


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0, 1))
def test_percentile_is_a_value_that_the_share_does_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


@given(st.lists(st.floats(0, 100), min_size=1))
def test_no_gap_is_longer_than_the_longest(moments: list[float]) -> None:
    start, end = longest_gap(moments, end=100)
    inside = [moment for moment in moments if start < moment < end]
    assert inside == []
    assert end - start >= (100 - min(moments)) / (len(moments) + 1) - 1e-9


def test_slices_cover_the_run_and_lose_no_call() -> None:
    journal, _ = good_run()
    cut = slices(journal, 0.25, end=1.4)
    assert [found.start for found in cut] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]
    assert [found.writes for found in cut] == [0, 0, 1, 1, 0, 2]
    assert sum(found.reads for found in cut) == 1
    assert cut[4].write_p99 is None


def test_the_pulse_is_of_the_last_second_and_the_counts_are_of_the_whole_run() -> None:
    journal, _ = good_run()
    seen = Journal()
    for placed in (*journal.writes, write("u", 2.2, outcome=Outcome.UNKNOWN)):
        seen.note_write(placed)
    seen.note_read(Read(2.0, 2.1, found=False))
    pulse = pulse_of(seen, now=2.26)
    assert (pulse.reads_per_second, pulse.stale_reads) == (1, 1)
    assert (pulse.orders_per_second, pulse.acknowledged, pulse.unknown, pulse.failed) == (1, 4, 1, 0)
    assert pulse.p50_ms == pytest.approx(10)
    assert pulse_of(Journal(), now=0.0).orders_per_second == 0
