"""A storm of random faults on each engine: nothing acknowledged is lost, nothing doubled, nothing stale or left over.

In the gate a storm strikes each kind of deployment and each product once, always in the same way. In ``make soak`` it
strikes all engines for longer. Each run there draws a seed and prints it, and ``tools/chaos.py`` repeats its strikes.
"""

from __future__ import annotations

import itertools
import json
import random
from typing import TYPE_CHECKING

import pytest

from tests.chaos.storm.journal import Books, Journal, Outcome, violations
from tests.chaos.storm.plan import strikes
from tests.chaos.storm.site import ENGINES, Site
from tests.chaos.storm.storm import storm
from tests.plugins.rounds import soak

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.plugins.local_rds import LocalRds

SECONDS = 8.0  # of faults; the servers' creation and the calm afterwards come on top
SOAK_SECONDS = 120.0
SEED = 42

GOOD = {"run-1": Outcome.ACKNOWLEDGED, "run-2": Outcome.UNKNOWN, "run-3": Outcome.UNKNOWN, "run-4": Outcome.FAILED}


@pytest.fixture(params=["mariadb", "aurora-postgresql", "multi-az-mysql"])
def site(request: pytest.FixtureRequest, local_rds: LocalRds) -> Iterator[Site]:
    site = Site(local_rds, request.param)
    site.create()
    yield site
    site.delete()


@pytest.mark.chaos
@pytest.mark.timeout(600)  # servers are created, struck, healed and deleted, on a machine that may be slow
async def test_a_storm_breaks_no_promise(site: Site, record_property: Callable[[str, object], None]) -> None:
    await assert_promises_hold(site, SEED, SECONDS, record_property)


@pytest.mark.chaos
@pytest.mark.parametrize("site", soak(*ENGINES), indirect=True)
async def test_a_long_storm_breaks_no_promise(site: Site, record_property: Callable[[str, object], None]) -> None:
    seed = random.randrange(2**32)
    print(f"to strike in the same way again: tools/chaos.py --engine {site.engine} --seed {seed}")  # noqa: T201 - as below
    await assert_promises_hold(site, seed, SOAK_SECONDS, record_property)


async def assert_promises_hold(
    site: Site, seed: int, seconds: float, record_property: Callable[[str, object], None]
) -> None:
    report = await storm(site, seed=seed, seconds=seconds)
    print(report)  # noqa: T201 - shown with -s and on failure: the figures are the point
    record_property("storm", json.dumps(report.as_dict()))
    assert not report.violations
    assert report.strikes > 0
    assert report.reads.keys() == {"database", "session", "token", "total"}


def told(books: Books, *, stale: Sequence[str] = (), surprises: Sequence[str] = ()) -> list[str]:
    return violations(Journal(writes=dict(GOOD), stale=list(stale), surprises=list(surprises)), books)


def test_what_is_promised_is_no_violation() -> None:
    assert told(Books({"run-1": 1, "run-2": 1}, 100, 100)) == []


@pytest.mark.parametrize(
    ("copies", "word"),
    [
        ({}, "acknowledged and not there: run-1"),
        ({"run-1": 2}, "more than once: run-1"),
        ({"run-1": 1, "run-3": 2}, "more than once: run-3"),
        ({"run-1": 1, "run-4": 1}, "nothing happened: run-4"),
        ({"run-1": 1, "run-5": 1}, "no worker wrote it: run-5"),
    ],
)
def test_each_broken_promise_of_a_write_is_found(copies: dict[str, int], word: str) -> None:
    (found,) = told(Books(copies, 100, 100))
    assert word in found


def test_lost_money_stale_reads_and_surprises_are_found() -> None:
    fine = Books({"run-1": 1}, 100, 100)
    assert told(Books({"run-1": 1}, 99, 100, (3,))) == [
        "the balances sum up to 99 instead of 100",
        "1 accounts that do not fit their ledger: 3",
    ]
    assert told(fine, stale=["session: run-1 shown 0 times"]) == ["1 stale reads: session: run-1 shown 0 times"]
    assert told(fine, surprises=["run raised KeyError"]) == ["1 surprises: run raised KeyError"]


def test_a_seed_decides_a_storm() -> None:
    plan = strikes(7, 600.0)
    assert plan == strikes(7, 600.0) != strikes(8, 600.0)
    assert all(0 < strike.at < 600.0 for strike in plan)
    kinds = {(strike.aim, strike.fault.kind if strike.fault else "failover") for strike in plan}
    both = {
        (aim, kind) for aim in ("writer", "reader") for kind in ("kill", "hang", "blackhole", "latency", "reset", "lag")
    }
    assert kinds == {*both, ("writer", "failover")}
    assert any(later.at < strike.at + (strike.lasting or 0.0) for strike, later in itertools.pairwise(plan)), (
        "several faults are in force at times"
    )
