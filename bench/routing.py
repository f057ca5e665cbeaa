"""Where reads go: what the decision costs, what is stale, and what one slow reader does to everybody's latency.

The pairs and the decision use a real primary with four real replicas; each pair is a write and, at once, the read that
looks for it. The choice between readers is a simulation in virtual time, with the very policy that rdskit routes by.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import harness
import rdskit
from rdskit.client.replicas.policy import choose, expected_wait, peak_ewma
from rdskit.local.engines.postgres.throwaway import throwaway_postgres

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres

REPLICAS = 4
TASKS = 8
PAIRS = 2000
DECISION_GATE = 5.0
"""Microseconds to choose one of four readers."""
SERVED_GATE = 0.8
"""Share of reads on readers that keep up."""
BUSIEST_GATE = 2.0 / REPLICAS
"""Share of these that one of them answers at most: twice its own."""

# -- the simulation ----------------------------------------------------------------------------------------------------

SERVICE = 0.005  # seconds, mean of an exponential distribution
SLOW = 5.0  # times slower, the last reader
ARRIVALS = 400.0  # reads a second: half of what the four can do, and twice what a quarter of it does to the slow one
REQUESTS = 20_000


class Backend:
    """A simulated reader that serves one read after the other."""

    def __init__(self, number: int) -> None:
        self.slower = SLOW if number == REPLICAS - 1 else 1.0
        self.free_at = 0.0
        self.in_flight = 0
        self.latency = 0.001
        self.sampled_at = 0.0

    def expected_wait(self, now: float) -> float:
        """As the client knows it: from the answers that it had."""
        return expected_wait(self.latency, self.in_flight, now - self.sampled_at)

    def begin(self, now: float, service: float) -> float:
        """Take a read; give the time of its answer."""
        self.in_flight += 1
        self.free_at = max(now, self.free_at) + service * self.slower
        return self.free_at

    def answered(self, now: float, latency: float) -> None:
        """Learn from an answer what rdskit learns."""
        self.in_flight -= 1
        self.latency = peak_ewma(self.latency, latency, now - self.sampled_at)
        self.sampled_at = now


Chooser = Callable[[list[Backend], float], Backend]


def choosers(seed: int) -> dict[str, Chooser]:
    """Return the policies by name."""
    chance, turns = random.Random(seed), itertools.count()  # noqa: S311 - a simulation that can be repeated
    two = random.Random(seed)  # noqa: S311 - as above
    return {
        "random": lambda backends, _: chance.choice(backends),
        "round robin": lambda backends, _: backends[next(turns) % len(backends)],
        "least connections": lambda backends, _: min(backends, key=lambda one: (one.in_flight, chance.random())),
        "P2C, connections": lambda backends, _: min(two.sample(backends, 2), key=lambda one: one.in_flight),
        "rdskit (P2C, peak EWMA)": lambda backends, now: choose(
            backends, lambda backend: backend.expected_wait(now), chance.random(), chance.random()
        ),
    }


def simulate(chooser: Chooser, seed: int = 7) -> list[float]:
    """Latencies of all reads, in seconds of virtual time."""
    chance = random.Random(seed)  # noqa: S311 - every policy gets the same reads
    backends = [Backend(number) for number in range(REPLICAS)]
    ends: list[tuple[float, int, float, Backend]] = []
    latencies, now = [], 0.0
    for number in range(REQUESTS):
        now += chance.expovariate(ARRIVALS)
        while ends and ends[0][0] <= now:
            end, _, begun, backend = heapq.heappop(ends)
            backend.answered(end, end - begun)
        backend = chooser(backends, now)
        end = backend.begin(now, chance.expovariate(1 / SERVICE))
        heapq.heappush(ends, (end, number, now, backend))
        latencies.append(end - now)
    return latencies


# -- the real servers --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Balance:
    """What a policy makes of one slow reader; milliseconds of virtual time."""

    name: str
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Pairs:
    """Writes, each followed by the read that looks for it.

    Attributes:
        stale: reads that did not find it.
        by_readers: reads that a reader answered; the writer answered the others.
        on_readers: their share.
        busiest: the share of these that one reader answered at most.
    """

    name: str
    pairs: int
    stale: int
    by_readers: int
    on_readers: float
    busiest: float
    seconds: float


@contextlib.contextmanager
def replicated(directory: Path) -> Iterator[tuple[ThrowawayPostgres, list[ThrowawayPostgres]]]:
    """Run a primary with replicas."""
    with contextlib.ExitStack() as stack:
        primary = stack.enter_context(throwaway_postgres(directory / "primary", settings={"fsync": "off"}))
        replicas = []
        for number in range(REPLICAS):
            replica = primary.replica(directory / f"replica-{number}")
            stack.callback(replica.stop, "immediate")
            replicas.append(replica)
        yield primary, replicas


def delay(replicas: list[ThrowawayPostgres], lag: str) -> None:
    """Have the replicas apply each commit so much later."""
    for replica in replicas:
        with replica.connect() as session:
            session.execute(f"alter system set recovery_min_apply_delay = '{lag}'")
            session.execute("select pg_reload_conf()")


async def measure_pairs(db: rdskit.Database, name: str, count: int, first: int) -> Pairs:
    """Write and read as fast as the tasks can."""
    numbers = iter(range(first, first + count))
    before, started, stale = db.stats().reads_by_reader, time.perf_counter(), 0

    async def work() -> None:
        nonlocal stale
        for key in numbers:
            await db.execute("insert into pair values (:key)", key=key)
            stale += not await db.fetch_value("select count(*) from pair where key = :key", key=key)

    await asyncio.gather(*(work() for _ in range(TASKS)))
    took = time.perf_counter() - started
    each = [served - before[reader] for reader, served in db.stats().reads_by_reader.items()]
    served = sum(each)
    return Pairs(name, count, stale, served, served / count, max(each) / max(served, 1), took)


async def all_serve(db: rdskit.Database) -> None:
    """Wait until every reader has answered a read."""
    async with asyncio.timeout(30):
        while not all(db.stats().reads_by_reader.values()):
            await asyncio.gather(*(db.fetch_value("select 1") for _ in range(REPLICAS)))


def decision(db: rdskit.Database, rounds: int, calls: int) -> float:
    """Microseconds to choose a reader: the median of the rounds."""
    readers = db._readers  # noqa: SLF001 - the decision alone, without the query
    assert readers is not None
    position, now = db._written.position, asyncio.get_running_loop().time()  # noqa: SLF001 - what its reads must see
    return statistics.median(_timed(lambda: readers.pick(position, now), calls) for _ in range(rounds))


def _timed(call: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls * 1e6


async def measure(options: argparse.Namespace, directory: Path) -> tuple[float, list[Pairs]]:
    """Everything that needs servers."""
    with replicated(directory) as (primary, replicas):
        readers = [f"{replica.host}:{replica.port}" for replica in replicas]
        async with rdskit.connect(primary.dsn.partition("?")[0], tls="off", readers=readers) as db:
            await db.execute("create table pair (key bigint primary key)")
            await all_serve(db)
            microseconds = decision(db, options.rounds, options.calls)
            near = await measure_pairs(db, "replicas that keep up", options.pairs, 0)
            delay(replicas, options.lag)
            far = await measure_pairs(db, f"replicas {options.lag} behind", options.pairs, options.pairs)
    return microseconds, [near, far]


def main() -> int:
    """Measure, print, and say whether the gates hold."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="writes with a read each (default: %(default)s)")
    parser.add_argument("--lag", default="500ms", help="how late the replicas apply commits (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        microseconds, pairs = asyncio.run(measure(options, Path(directory)))
    balances = [_balance(name, simulate(chooser)) for name, chooser in choosers(7).items()]
    show(microseconds, pairs, balances)
    missed = missed_gates(microseconds, pairs, balances)
    print(f"gates missed: {', '.join(missed) or 'none'}")
    harness.write_json(options.json, {"decision": microseconds, "missed": missed}, [*pairs, *balances])
    return 1 if missed else 0


def _balance(name: str, latencies: list[float]) -> Balance:
    cuts = statistics.quantiles(latencies, n=100)
    return Balance(name, cuts[49] * 1e3, cuts[98] * 1e3)


def missed_gates(microseconds: float, pairs: list[Pairs], balances: list[Balance]) -> list[str]:
    """Return the claims that did not hold."""
    *others, ours = balances
    claims = {
        f"decision within {DECISION_GATE} µs": microseconds <= DECISION_GATE,
        "no stale read": not any(each.stale for each in pairs),
        f"{SERVED_GATE:.0%} on readers that keep up": pairs[0].on_readers >= SERVED_GATE,
        f"no reader answers more than {BUSIEST_GATE:.0%}": pairs[0].busiest <= BUSIEST_GATE,
        "p99 below every other policy's": all(ours.p99 < other.p99 for other in others),
    }
    return [claim for claim, holds in claims.items() if not holds]


def show(microseconds: float, pairs: list[Pairs], balances: list[Balance]) -> None:
    """Print the tables."""
    print(f"one of {REPLICAS} readers is chosen in {microseconds:.1f} µs\n")
    lines = [
        (
            each.name,
            f"{each.pairs:,}",
            f"{each.stale}",
            f"{each.by_readers:,}",
            f"{each.pairs - each.by_readers:,}",
            f"{each.on_readers:.1%}",
            f"{each.busiest:.1%}",
            f"{each.pairs / each.seconds:,.0f}",
        )
        for each in pairs
    ]
    titles = ("write, then read", "pairs", "stale", "by readers", "by writer", "on readers", "busiest", "pairs/s")
    harness.print_table(titles, lines)
    print(f"\nsimulated: {REQUESTS:,} reads, {REPLICAS} readers, the last one {SLOW:g} times slower")
    figures = [(each.name, f"{each.p50:.1f}", f"{each.p99:.1f}") for each in balances]
    harness.print_table(("policy", "p50 ms", "p99 ms"), figures)


if __name__ == "__main__":
    sys.exit(main())
