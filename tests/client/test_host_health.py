"""When a silent writer is doubted, called silent, and given up: plain values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rdskit.client.failover.health import (
    MISSES_ALLOWED,
    PROBE_INTERVAL,
    SILENCE_TIMEOUT,
    Health,
    HostVerdict,
    refresh_delay,
)


def after(misses: int) -> Health:
    health = Health()
    for number in range(misses):
        health = health.missed(number * PROBE_INTERVAL)
    return health


def test_a_host_is_doubted_at_the_first_miss_and_silent_after_several() -> None:
    assert after(0).verdict(1000.0) is HostVerdict.ANSWERS
    assert [after(misses).verdict(1.0) for misses in range(1, MISSES_ALLOWED)] == [HostVerdict.DOUBTFUL] * (
        MISSES_ALLOWED - 1
    )
    assert after(MISSES_ALLOWED).verdict(1.0) is HostVerdict.SILENT


@given(st.integers(MISSES_ALLOWED, 100), st.floats(0, 2 * SILENCE_TIMEOUT))
def test_silence_is_given_up_when_it_has_lasted_and_not_before(misses: int, now: float) -> None:
    expected = HostVerdict.LOST if now >= SILENCE_TIMEOUT else HostVerdict.SILENT
    assert after(misses).verdict(now) is expected


@given(st.floats(0.01, 5), st.lists(st.floats(0, 1e6), min_size=2, max_size=2))
def test_looks_become_rarer_and_never_more_eager_than_the_source_wants(eager: float, moments: list[float]) -> None:
    early, late = (refresh_delay(eager, away) for away in sorted(moments))
    assert eager <= early <= late <= max(eager, 1.0)
    assert eager <= refresh_delay(eager, None) <= max(eager, 1.0)


def test_the_longer_the_writer_is_away_the_rarer_it_is_looked_for() -> None:
    paused = [round(refresh_delay(0.02, away), 3) for away in (0.0, 0.1, 0.2, 0.4, 2.5, 10.0, 50.0)]
    assert paused == [0.02, 0.02, 0.025, 0.05, 0.05, 0.2, 1.0]
    assert refresh_delay(0.02, None) == 0.05
