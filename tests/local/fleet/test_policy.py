"""Decisions about servers, on plain values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdskit.local.engines.postgres.configuration import DEFAULTS
from rdskit.local.fleet.policy import (
    LATE,
    MISSES_ALLOWED,
    Action,
    Health,
    ServerHealth,
    decide,
)
from rdskit.local.fleet.postgres.policy import RECOVERY_LIMITS, is_ahead, position, standby_limits

verdicts = st.sampled_from(ServerHealth)


def probed(*answers: bool, late: float = 0.0) -> Health:
    health = Health()
    for answered in answers:
        health = health.after_probe(alive=True, answered=answered, late=late)
    return health


def test_a_server_is_hung_after_three_misses_in_a_row() -> None:
    assert probed(*[False] * (MISSES_ALLOWED - 1)).verdict is ServerHealth.FINE
    assert probed(*[False] * MISSES_ALLOWED).verdict is ServerHealth.HUNG
    assert probed(False, False, True, False, False).verdict is ServerHealth.FINE


def test_a_machine_too_busy_for_our_own_clock_says_nothing_about_a_server() -> None:
    assert probed(*[False] * 10, late=LATE).verdict is ServerHealth.FINE


def test_an_ended_server_is_ended_whatever_it_answered_before() -> None:
    assert probed(True).after_probe(alive=False, answered=False, late=9.0).verdict is ServerHealth.ENDED


@pytest.mark.parametrize(
    ("primary", "standby", "in_sync", "action"),
    [
        (ServerHealth.FINE, None, False, Action.NOTHING),
        (ServerHealth.FINE, ServerHealth.FINE, True, Action.NOTHING),
        (ServerHealth.FINE, ServerHealth.ENDED, True, Action.DROP_STANDBY),
        (ServerHealth.FINE, ServerHealth.HUNG, True, Action.DROP_STANDBY),
        (ServerHealth.ENDED, ServerHealth.FINE, True, Action.PROMOTE),
        (ServerHealth.HUNG, ServerHealth.FINE, True, Action.PROMOTE),
        (ServerHealth.ENDED, ServerHealth.FINE, False, Action.RESTART),
        (ServerHealth.ENDED, None, False, Action.RESTART),
        (ServerHealth.HUNG, ServerHealth.HUNG, True, Action.RESTART),
    ],
)
def test_what_is_done(primary: ServerHealth, standby: ServerHealth | None, in_sync: bool, action: Action) -> None:  # noqa: FBT001 - a table
    assert decide(primary, standby, in_sync=in_sync) is action


@given(primary=verdicts, standby=st.none() | verdicts, in_sync=st.booleans())
def test_nothing_is_promoted_that_may_lack_an_acknowledged_write(
    primary: ServerHealth, standby: ServerHealth | None, *, in_sync: bool
) -> None:
    if decide(primary, standby, in_sync=in_sync) is Action.PROMOTE:
        assert in_sync
        assert standby is ServerHealth.FINE
        assert primary is not ServerHealth.FINE


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
