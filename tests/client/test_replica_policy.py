"""Which reader may answer: pure decisions."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from rdskit.client.replicas.policy import (
    ADMITTED,
    QUARANTINED,
    choose,
    expected_wait,
    lags,
    next_admission,
    pause_after_misses,
    peak_ewma,
)
from rdskit.kernel.ports import ReaderProgress
from rdskit.kernel.positions import START, GtidPosition, GtidSet, Lsn, Position, Xid


def _at(position: int, received: int | None = None) -> ReaderProgress:
    return _having(Lsn(position), Lsn(received or position))


def _having(position: Position, received: Position | None = None) -> ReaderProgress:
    return ReaderProgress(replays=True, position=position, received=received or position, lag=0.0)


def test_a_reader_that_follows_is_admitted_once_it_replays_what_only_the_new_writer_wrote() -> None:
    state = next_admission(QUARANTINED, Lsn(1000), _at(1000))
    assert not state.admitted
    state = next_admission(state, Lsn(1200), _at(1100))
    assert not state.admitted
    assert next_admission(state, Lsn(1300), _at(1200)).admitted


@given(st.integers(1000, 2000), st.lists(st.integers(0, 100), min_size=1, max_size=50))
def test_a_reader_with_another_history_is_never_admitted(stuck_at: int, growth: list[int]) -> None:
    """It stands still ahead of a writer that catches up with it and passes it."""
    state, writer = QUARANTINED, 1000
    for step in growth:
        writer += step
        state = next_admission(state, Lsn(writer), _at(stuck_at))
        assert not state.admitted


def _gtids(text: str) -> GtidSet:
    """``a:1-5,b:7`` with sources for short."""
    return GtidSet.parse(text)


def test_a_mysql_reader_is_admitted_while_the_writer_keeps_writing() -> None:
    state = next_admission(QUARANTINED, _gtids("a:1-9,b:1"), _having(_gtids("a:1-9")))
    state = next_admission(state, _gtids("a:1-9,b:1-5"), _having(_gtids("a:1-9,b:1-4")))
    assert not state.admitted
    assert next_admission(state, _gtids("a:1-9,b:1-9"), _having(_gtids("a:1-9,b:1-8"))).admitted


def test_a_mysql_reader_with_a_transaction_the_writer_never_had_is_never_admitted() -> None:
    """It follows the new writer in everything else: its set grows beyond every target."""
    state = QUARANTINED
    for last in range(2, 50):
        state = next_admission(state, _gtids(f"a:1-9,b:1-{last}"), _having(_gtids(f"a:1-10,b:1-{last}")))
        assert not state.admitted


def test_a_mysql_reader_that_received_what_the_writer_never_had_is_not_admitted_before_it_is_gone() -> None:
    """Received and not yet replayed: the replayed set alone would look fine."""
    state = next_admission(QUARANTINED, _gtids("a:1-9,b:1"), _having(_gtids("a:1-9"), _gtids("a:1-10")))
    for last in range(2, 6):
        progress = _having(_gtids(f"a:1-9,b:1-{last}"), _gtids(f"a:1-10,b:1-{last}"))
        state = next_admission(state, _gtids(f"a:1-9,b:1-{last}"), progress)
        assert not state.admitted
    state = next_admission(state, _gtids("a:1-9,b:1-6"), _having(_gtids("a:1-9,b:1-6")))
    state = next_admission(state, _gtids("a:1-9,b:1-7"), _having(_gtids("a:1-9,b:1-7")))
    assert next_admission(state, _gtids("a:1-9,b:1-8"), _having(_gtids("a:1-9,b:1-8"))).admitted


def test_a_mariadb_reader_that_stands_still_is_not_admitted_when_the_numbers_meet() -> None:
    """It holds 0-1-50; the new writer, which never had that, has a 0-2-50 of its own and goes on."""
    state, stuck = QUARANTINED, _having(GtidPosition.parse("0-1-50"))
    for last in range(48, 60):
        state = next_admission(state, GtidPosition.parse(f"0-2-{last}"), stuck)
        assert not state.admitted
    assert next_admission(state, GtidPosition.parse("0-2-70"), _having(GtidPosition.parse("0-2-65"))).admitted


def test_a_reader_of_aurora_is_admitted_once_it_shows_what_the_new_writer_showed_though_nobody_writes() -> None:
    state = next_admission(QUARANTINED, Xid(100), _having(Xid(98), START))
    state = next_admission(state, Xid(100), _having(Xid(98), START))
    assert not state.admitted
    assert next_admission(state, Xid(100), _having(Xid(100), START)).admitted


def test_where_there_are_no_positions_a_reader_is_admitted_as_long_as_replication_goes_on() -> None:
    still = ReaderProgress(replays=True, position=START, received=START, lag=math.inf)
    state = next_admission(QUARANTINED, None, still)
    assert not state.admitted
    promoted = ReaderProgress(replays=False, position=START, received=START, lag=0.0)
    assert not next_admission(state, None, promoted).admitted
    assert next_admission(state, None, _having(START)).admitted


@given(st.integers(0, 2**40))
def test_who_is_admitted_stays_so(position: int) -> None:
    assert next_admission(ADMITTED, Lsn(position), _at(0)) == ADMITTED


def test_lag_has_hysteresis() -> None:
    assert lags(10.1, was_lagging=False)
    assert not lags(9.0, was_lagging=False)
    assert lags(9.0, was_lagging=True)
    assert not lags(4.9, was_lagging=True)


@given(st.floats(0.0001, 10), st.floats(0.0001, 10), st.floats(0, 100))
def test_a_peak_counts_at_once_and_fades(average: float, sample: float, elapsed: float) -> None:
    after = peak_ewma(average, sample, elapsed)
    assert min(average, sample) - 1e-9 <= after <= max(average, sample) + 1e-9
    if sample >= average:
        assert after == sample


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=8), st.floats(0, 0.999), st.floats(0, 0.999))
def test_of_two_readers_the_cheaper_one_and_never_the_dearest(latencies: list[float], one: float, two: float) -> None:
    chosen = choose(latencies, lambda latency: expected_wait(latency, 0, 0.0), one, two)
    assert chosen in latencies
    if len(set(latencies)) == len(latencies) > 1:
        assert chosen != max(latencies)


@given(st.floats(0.001, 100), st.floats(0, 60), st.floats(0, 60), st.integers(1, 50))
def test_an_idle_reader_is_forgiven_and_one_that_owes_an_answer_is_not(
    latency: float, some_time: float, more: float, in_flight: int
) -> None:
    assert expected_wait(latency, 0, some_time + more) <= expected_wait(latency, 0, some_time) <= latency
    assert expected_wait(latency, in_flight, some_time) == expected_wait(latency, in_flight, 0.0) >= 2 * latency


def test_however_slow_a_reader_was_it_is_soon_cheaper_than_another() -> None:
    quick, slow = 0.001, 5.0
    assert expected_wait(slow, 0, 5.0) > expected_wait(quick, 0, 0.0)
    assert expected_wait(slow, 0, 10.0) < expected_wait(quick, 0, 0.0)


def test_a_reader_that_does_not_catch_up_is_waited_for_less_and_less() -> None:
    pauses = [pause_after_misses(misses) for misses in range(200)]
    assert pauses[0] == 0.0
    assert pauses == sorted(pauses)
    assert pauses[-1] == 1.0
