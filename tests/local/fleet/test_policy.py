"""Decisions about servers, on plain values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdskit.local.engines.configuration import DEFAULTS
from rdskit.local.fleet.policy import (
    LATE,
    MISSES_ALLOWED,
    Action,
    Health,
    Verdict,
    decide,
)
from rdskit.local.fleet.postgres.policy import RECOVERY_LIMITS, is_ahead, position, standby_limits

verdicts = st.sampled_from(Verdict)


def probed(*answers: bool, late: float = 0.0) -> Health:
    health = Health()
    for answered in answers:
        health = health.after_probe(alive=True, answered=answered, late=late)
    return health


def test_a_server_is_hung_after_three_misses_in_a_row() -> None:
    assert probed(*[False] * (MISSES_ALLOWED - 1)).verdict is Verdict.FINE
    assert probed(*[False] * MISSES_ALLOWED).verdict is Verdict.HUNG
    assert probed(False, False, True, False, False).verdict is Verdict.FINE


def test_a_machine_too_busy_for_our_own_clock_says_nothing_about_a_server() -> None:
    assert probed(*[False] * 10, late=LATE).verdict is Verdict.FINE


def test_an_ended_server_is_ended_whatever_it_answered_before() -> None:
    assert probed(True).after_probe(alive=False, answered=False, late=9.0).verdict is Verdict.ENDED


@pytest.mark.parametrize(
    ("primary", "standby", "in_sync", "action"),
    [
        (Verdict.FINE, None, False, Action.NOTHING),
        (Verdict.FINE, Verdict.FINE, True, Action.NOTHING),
        (Verdict.FINE, Verdict.ENDED, True, Action.DROP_STANDBY),
        (Verdict.FINE, Verdict.HUNG, True, Action.DROP_STANDBY),
        (Verdict.ENDED, Verdict.FINE, True, Action.PROMOTE),
        (Verdict.HUNG, Verdict.FINE, True, Action.PROMOTE),
        (Verdict.ENDED, Verdict.FINE, False, Action.RESTART),
        (Verdict.ENDED, None, False, Action.RESTART),
        (Verdict.HUNG, Verdict.HUNG, True, Action.RESTART),
    ],
)
def test_what_is_done(primary: Verdict, standby: Verdict | None, in_sync: bool, action: Action) -> None:  # noqa: FBT001 - a table
    assert decide(primary, standby, in_sync=in_sync) is action


@given(primary=verdicts, standby=st.none() | verdicts, in_sync=st.booleans())
def test_nothing_is_promoted_that_may_lack_an_acknowledged_write(
    primary: Verdict, standby: Verdict | None, *, in_sync: bool
) -> None:
    if decide(primary, standby, in_sync=in_sync) is Action.PROMOTE:
        assert in_sync
        assert standby is Verdict.FINE
        assert primary is not Verdict.FINE


def test_positions_compare_as_numbers() -> None:
    assert position("0/FFFFFFFF") + 1 == position("1/0")
    assert is_ahead(position("1/0"), position("0/FFFFFFFF"))
    assert not is_ahead(position("1/0"), position("1/0"))


def test_the_limits_of_recovery_are_those_of_our_servers() -> None:
    for name in ("max_connections", "max_wal_senders"):
        assert str(RECOVERY_LIMITS[name]) == DEFAULTS[name]


def test_a_standby_is_never_below_its_primary() -> None:
    limits = standby_limits({"max_connections": "50"}, {"max_connections": "300", "max_worker_processes": "4"})
    assert limits["max_connections"] == "300"
    assert limits["max_worker_processes"] == "8"
    assert set(limits) == set(RECOVERY_LIMITS)
