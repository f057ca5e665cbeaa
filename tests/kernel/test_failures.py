"""The retry table: complete, and nothing that may have happened is sent twice."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from rdskit.errors import QueryError
from rdskit.kernel.answers import meaning_of_errno, meaning_of_sqlstate
from rdskit.kernel.failures import RETRIES, Action, Failure, Phase, action_for, failure_of_sqlstate


def test_every_case_is_decided() -> None:
    assert set(RETRIES) == set(itertools.product(Failure, Phase))


@given(st.sampled_from(Failure), st.sampled_from(Phase))
def test_a_write_is_repeated_only_where_it_cannot_have_happened(failure: Failure, phase: Phase) -> None:
    if action_for(failure, phase, writes=True) is Action.RETRY:
        answered = failure in {Failure.READ_ONLY, Failure.CONFLICT}
        assert phase is Phase.BEFORE_SEND or (answered and phase is Phase.STATEMENT)


@given(st.sampled_from(Failure))
def test_code_that_may_have_committed_a_part_is_never_repeated(failure: Failure) -> None:
    actions = {action_for(failure, Phase.PROCEDURE, writes=writes) for writes in (False, True)}
    assert actions <= {Action.UNKNOWN, Action.RAISE}


@given(st.sampled_from([Failure.LOST, Failure.TIMEOUT]), st.booleans())
def test_a_lost_commit_is_always_unknown(failure: Failure, writes: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    assert action_for(failure, Phase.COMMIT, writes=writes) is Action.UNKNOWN


@given(st.from_regex(r"[0-9A-Z]{5}", fullmatch=True))
def test_errors_are_classed_by_class(sqlstate: str) -> None:
    failure = failure_of_sqlstate(sqlstate)
    if sqlstate.startswith("08"):
        assert failure is Failure.LOST
    if sqlstate.startswith("23"):
        assert failure is Failure.REFUSED


def test_the_states_that_the_wrapper_misses() -> None:
    assert failure_of_sqlstate("08006") is Failure.LOST
    assert failure_of_sqlstate("08000") is Failure.LOST
    assert failure_of_sqlstate("57P01") is Failure.LOST
    assert failure_of_sqlstate("58030") is Failure.UNWELL
    assert failure_of_sqlstate("XX000") is Failure.UNWELL
    assert failure_of_sqlstate("25006") is Failure.READ_ONLY
    assert failure_of_sqlstate("40001") is Failure.CONFLICT


def test_what_the_same_statement_meets_again_is_refused_and_not_retried() -> None:
    for sqlstate in ("53100", "53200", "54000", "54001", "54011", "54023"):
        assert meaning_of_sqlstate(sqlstate) == (Failure.REFUSED, QueryError)
    assert meaning_of_sqlstate("XX000", "invalid memory alloc request size 1400000024").failure is Failure.REFUSED
    assert meaning_of_sqlstate("XX000", "cache lookup failed for type 1").failure is Failure.UNWELL
    for number in (3, 1021, 1037, 1038, 1041, 1114, 1117, 1118, 1153, 1390, 1406, 1878, 3170):
        assert meaning_of_errno(number, "HY000", "").failure is Failure.REFUSED
    full = 'Got error 28 "No space left on device" from storage engine InnoDB'
    assert meaning_of_errno(1030, "HY000", full) == (Failure.REFUSED, QueryError)
    assert meaning_of_errno(1030, "HY000", "Got error 168 from storage engine").failure is Failure.UNWELL
