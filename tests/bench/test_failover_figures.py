"""How the failover benchmark counts: gaps, the share of the local RDS, what is lost or twice, and its gates."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("failover_figures", BENCH / "failover_figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def played(figures: Any, contender: str = "rdskit", fault: str = "kill", **changes: Any) -> Any:
    """Return a round: two writers, silent from 10.0 to 10.5; the old writer ended at 10.1 and promotion took 0.3."""
    told = {
        "acknowledged": [(0, 1, 9.9), (1, 2, 10.0), (0, 3, 10.5), (1, 4, 10.7), (0, 5, 10.8)],
        "errors": [(9.0, "Early"), (10.2, "OutcomeUnknown")],
        "attempts": [1.0, 10.3, 10.4],
        "end": 10.9,
        **changes,
    }
    event = figures.Event(fault, 10.05, 10.1, 0.3)
    present = dict.fromkeys(range(1, 6), 1)
    return figures.round_of(contender, event, figures.Journal(**told), present, back=True, left_over=0)


def test_a_round_counts_from_the_last_acknowledged_write_and_errors_from_the_fault(figures: Any) -> None:
    found = played(figures)
    assert found.outage == pytest.approx(0.5)
    assert found.last_writer == pytest.approx(0.7)
    assert (found.detection, found.promotion) == (pytest.approx(0.1), 0.3)
    assert (found.attempts, found.errors) == (2, {"OutcomeUnknown": 1})
    assert (found.lost, found.duplicated) == (0, 0)


def test_what_is_missing_is_lost_and_what_is_twice_is_counted(figures: Any) -> None:
    event = figures.Event("kill", 10.05, 10.1, 0.3)
    journal = figures.Journal([(0, 1, 9.9), (0, 2, 10.0)], [], [], 10.9)
    found = figures.round_of("rdskit", event, journal, {1: 2}, back=True, left_over=0)
    assert (found.lost, found.duplicated) == (1, 1)


def test_silence_until_the_end_counts_and_no_write_at_all_is_no_gap(figures: Any) -> None:
    assert figures.longest_gap([1.0, 2.0], 9.0) == (2.0, 7.0)
    assert figures.longest_gap([], 9.0) == (9.0, 0.0)


def test_a_contender_that_never_came_back_counts_with_its_deadline(figures: Any) -> None:
    event = figures.Event("hang", 10.0, None, None)
    never = figures.round_of("peer", event, figures.Journal([], [], [], 70.0), {}, back=False, left_over=0)
    summary = figures.summary_of([never])
    assert (summary.never, summary.outage, summary.excess) == (1, figures.DEADLINE, None)


def test_who_never_came_back_is_not_ahead_of_anybody(figures: Any) -> None:
    ours = figures.summary_of([played(figures, fault="planned")])
    event = figures.Event("planned", 10.05, None, None)
    never = figures.round_of("peer", event, figures.Journal([], [], [], 70.0), {}, back=False, left_over=0)
    assert figures.missed_gates([ours, figures.summary_of([never])], "rdskit") == []


def test_rounds_that_never_ended_tell_nothing_of_connects_and_errors(figures: Any) -> None:
    event = figures.Event("planned", 10.05, None, None)
    died = figures.Journal([], [(70.0, figures.DIED)], [], 70.0)
    ended = figures.round_of("peer", event, died, {}, back=False, left_over=0)
    came_back = played(figures, "peer", "planned")
    summary = figures.summary_of([ended, ended, came_back])
    assert (summary.never, summary.died, summary.outage) == (2, 2, figures.DEADLINE)
    assert (summary.attempts, summary.errors) == (came_back.attempts, sum(came_back.errors.values()))


def test_who_never_gets_its_connections_open_counts_nowhere_else(figures: Any) -> None:
    event = figures.Event("planned", 0.0, None, None)
    late, died = (
        replace(figures.round_of("peer", event, journal, {}, back=False, left_over=0), opened=False)
        for journal in (
            figures.Journal([], [], [], 70.0),
            figures.Journal([], [(1.0, f"{figures.DIED}, SIGSEGV")], [], 1.0),
        )
    )
    summary = figures.summary_of([late, died, late, played(figures, "peer", "planned")])
    assert (summary.rounds, summary.unopened, summary.died_opening, summary.died, summary.never) == (1, 3, 1, 0, 0)
    assert summary.outage == pytest.approx(0.5)
    never = figures.summary_of([late, died])
    assert (never.unopened, never.died_opening, never.never) == (2, 1, never.rounds)
    ours = figures.summary_of([played(figures, fault="planned")])
    assert figures.missed_gates([ours, never], "rdskit") == []


def test_the_gates_name_what_does_not_hold(figures: Any) -> None:
    ours = figures.summary_of([played(figures)])
    assert ours.excess == pytest.approx(0.2)
    assert figures.missed_gates([ours], "rdskit") == ["kill: outage - promotion within 100 ms"]
    silent = figures.summary_of([played(figures, fault="hang")])
    assert silent.silence_excess == pytest.approx(0.1)
    better = figures.summary_of([played(figures, "peer", "hang", attempts=[], errors=[])])
    assert figures.missed_gates([silent, better], "rdskit") == [
        "hang: connect attempts behind peer",
        "hang: errors behind peer",
    ]
