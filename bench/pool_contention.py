"""What a pool makes of 100 tasks that share 10 connections: throughput and fairness, beside its peers.

Every task runs the same single-row SELECT again and again; a call's time includes its wait for a connection. The
baseline is asyncpg's own pool with a reset that does nothing, which is the fastest that it can be made.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg_pool
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

import harness
import rdskit
from raw_vs_raw import QUERY, fill
from rdskit.local.engines.postgres.throwaway import throwaway_postgres

if TYPE_CHECKING:
    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres

TASKS = 100
CONNECTIONS = 10
CALLS = 2000
THROUGHPUT_GATE = 1.2
FAIRNESS_GATE = 2.0
NAMED = QUERY.replace("$1", ":id")
FORMAT = QUERY.replace("$1", "%s")
BASELINE = "asyncpg.Pool, no reset"

Peer = tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[object]]]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        name: the contender's name.
        qps: calls a second, over all tasks; median of the blocks.
        throughput: its ratio to the baseline's; median of neighbouring blocks.
        low: lower quartile of that ratio.
        high: upper quartile.
        p50: median time of one call in milliseconds, waiting included; median of the blocks.
        p99: 99 of 100 calls of a block took no longer, in milliseconds; median of the blocks.
        fairness: p99 / p50 of a block, 1 when every call waits its turn and no longer; median of the blocks. Calls of
            different blocks are not thrown together: a machine that is slower for a second is not an unfair pool.
        overall: p99 / p50 of all calls of all blocks, which has both in it.
    """

    name: str
    qps: float
    throughput: float
    low: float
    high: float
    p50: float
    p99: float
    fairness: float
    overall: float


# --- peers: each opens, and gives one call and a way to close ------------------------------------------------------


async def open_rdskit(server: ThrowawayPostgres) -> Peer:
    db = await rdskit.connect(
        server.dsn.partition("?")[0],
        tls="off",
        min_size=CONNECTIONS,
        max_size=CONNECTIONS,
        max_waiting=TASKS,
        pipeline="off",
    )
    return lambda: db.fetch_one(NAMED, id=7), db.close


async def open_asyncpg_pool(server: ThrowawayPostgres) -> Peer:
    pool = await asyncpg.create_pool(server.dsn, min_size=CONNECTIONS, max_size=CONNECTIONS)
    return lambda: pool.fetchrow(QUERY, 7), pool.close


async def open_asyncpg_pool_without_reset(server: ThrowawayPostgres) -> Peer:
    async def nothing(_connection: object) -> None:
        pass

    pool = await asyncpg.create_pool(server.dsn, min_size=CONNECTIONS, max_size=CONNECTIONS, reset=nothing)
    return lambda: pool.fetchrow(QUERY, 7), pool.close


async def open_psycopg_pool(server: ThrowawayPostgres) -> Peer:
    options = {"autocommit": True, "prepare_threshold": 0}
    pool = psycopg_pool.AsyncConnectionPool(
        server.dsn, min_size=CONNECTIONS, max_size=CONNECTIONS, open=False, kwargs=options
    )
    await pool.open(wait=True)

    async def call() -> object:
        async with pool.connection() as connection:
            cursor = await connection.execute(FORMAT, (7,))
            return await cursor.fetchone()

    return call, pool.close


async def open_sqlalchemy(server: ThrowawayPostgres) -> Peer:
    url = sqlalchemy.make_url(server.dsn).set(drivername="postgresql+asyncpg", query={})
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT", pool_size=CONNECTIONS, max_overflow=0)
    statement = sqlalchemy.text(NAMED)

    async def call() -> object:
        async with engine.connect() as connection:
            return (await connection.execute(statement, {"id": 7})).one()

    return call, engine.dispose


PEERS: dict[str, Callable[[ThrowawayPostgres], Awaitable[Peer]]] = {
    "rdskit": open_rdskit,
    "asyncpg.Pool": open_asyncpg_pool,
    "psycopg_pool": open_psycopg_pool,
    "SQLAlchemy async": open_sqlalchemy,
}

# --- measuring -----------------------------------------------------------------------------------------------------


class Crowd:
    """Tasks that make calls at the same time.

    Attributes:
        blocks: seconds of each call, block by block.
    """

    def __init__(self, runner: asyncio.Runner, calls: list[Callable[[], Awaitable[object]]]) -> None:
        self._runner = runner
        self._calls = calls
        self.blocks: list[list[float]] = []

    def block(self, calls: int) -> float:
        """Make calls, shared evenly by the tasks, and give the seconds that they took together."""
        self.blocks.append([])
        return self._runner.run(self._together(calls // len(self._calls)))

    async def _together(self, each: int) -> float:
        start = time.perf_counter()
        await asyncio.gather(*(self._one(call, each) for call in self._calls))
        return time.perf_counter() - start

    async def _one(self, call: Callable[[], Awaitable[object]], count: int) -> None:
        clock, note = time.perf_counter, self.blocks[-1].append
        for _ in range(count):
            start = clock()
            await call()
            note(clock() - start)


def raw_crowd(runner: asyncio.Runner, connections: list[asyncpg.Connection]) -> Crowd:
    """One task for each plain connection: the most that the connections can do."""
    return Crowd(runner, [_fetches(connection) for connection in connections])


def _fetches(connection: asyncpg.Connection) -> Callable[[], Awaitable[object]]:
    return lambda: connection.fetchrow(QUERY, 7)


def compare(baseline: tuple[str, Crowd], contender: tuple[str, Crowd], effort: harness.Effort) -> Row:
    """Measure one crowd against another, in turn."""
    name, crowd = contender
    figures = harness.compare(
        harness.Contender(baseline[0], baseline[1].block), harness.Contender(name, crowd.block), effort
    )
    measured = crowd.blocks[1:]  # the first one only warms up
    percentiles = [_percentiles(block) for block in measured]
    p50, p99 = _percentiles([latency for block in measured for latency in block])
    return Row(
        name=name,
        qps=1e6 / figures.microseconds,
        throughput=1 / figures.ratio,
        low=1 / figures.high,
        high=1 / figures.low,
        p50=statistics.median(half for half, _ in percentiles) * 1e3,
        p99=statistics.median(most for _, most in percentiles) * 1e3,
        fairness=statistics.median(most / half for half, most in percentiles),
        overall=p99 / p50,
    )


def _percentiles(latencies: list[float]) -> tuple[float, float]:
    """Return the 50th and the 99th percentile."""
    cuts = statistics.quantiles(latencies, n=100)
    return cuts[49], cuts[98]


def measure(server: ThrowawayPostgres, effort: harness.Effort, only: str) -> list[Row]:
    """All rows: first raw against raw, then the baseline, rdskit and the peers."""
    with asyncio.Runner() as runner:
        rows = [_raw_against_raw(runner, server, effort)]
        call, close = runner.run(_await(open_asyncpg_pool_without_reset(server)))
        baseline = (BASELINE, Crowd(runner, [call] * TASKS))
        rows.append(compare(baseline, baseline, effort))
        for name, opened in PEERS.items():
            if only not in name:
                continue
            peer_call, peer_close = runner.run(_await(opened(server)))
            rows.append(compare(baseline, (name, Crowd(runner, [peer_call] * TASKS)), effort))
            runner.run(_await(peer_close()))
        runner.run(_await(close()))
    return rows


def _raw_against_raw(runner: asyncio.Runner, server: ThrowawayPostgres, effort: harness.Effort) -> Row:
    connections = [runner.run(_await(asyncpg.connect(server.dsn))) for _ in range(2 * CONNECTIONS)]
    first, second = connections[:CONNECTIONS], connections[CONNECTIONS:]
    row = compare(("raw", raw_crowd(runner, first)), ("raw, again", raw_crowd(runner, second)), effort)
    for connection in connections:
        runner.run(connection.close())
    return row


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def show(rows: list[Row]) -> None:
    """Print the table."""
    headings = (
        f"{TASKS} tasks, {CONNECTIONS} connections",
        "calls/s",
        "throughput",
        "quartiles",
        "p50 ms",
        "p99 ms",
        "p99/p50",
        "over all blocks",
    )
    lines = [
        (
            row.name,
            f"{row.qps:,.0f}",
            f"{row.throughput:.3f}",
            f"{row.low:.2f}..{row.high:.2f}",
            f"{row.p50:.2f}",
            f"{row.p99:.2f}",
            f"{row.fairness:.2f}",
            f"{row.overall:.2f}",
        )
        for row in rows
    ]
    harness.print_table(headings, lines)


def main() -> int:
    """Measure, print, and say whether the figures can be trusted and whether rdskit is within its gates."""
    parser = harness.arguments(__doc__ or "")
    parser.set_defaults(calls=CALLS)
    parser.add_argument("--only", default="", metavar="TEXT", help="peers whose name has this text")
    options = parser.parse_args()
    effort = harness.Effort(options.calls, options.rounds)
    with tempfile.TemporaryDirectory() as directory, throwaway_postgres(Path(directory)) as server:
        asyncio.run(fill(server.dsn))
        pinned = harness.pin(server.pid, one_cpu=options.one_cpu)
        rows = measure(server, effort, options.only)
    show(rows)
    valid = pinned and harness.is_valid(rows[0].throughput)
    print(_verdict(rows) if valid else harness.NOT_VALID)
    gates = {"throughput_gate": THROUGHPUT_GATE, "fairness_gate": FAIRNESS_GATE}
    harness.write_json(options.json, {"valid": valid, "pinned": pinned, **gates}, rows)
    return 0 if valid and _kept(rows) else 1


def _kept(rows: list[Row]) -> bool:
    """Whether rdskit is within its gates, if it was measured."""
    ours = [row for row in rows if row.name == "rdskit"]
    return all(row.throughput >= THROUGHPUT_GATE and row.fairness <= FAIRNESS_GATE for row in ours)


def _verdict(rows: list[Row]) -> str:
    ours = next((row for row in rows if row.name == "rdskit"), None)
    if ours is None:
        return "valid; rdskit was not measured"
    return (
        f"rdskit: {ours.throughput:.2f} x the throughput of {BASELINE}, the gate is {THROUGHPUT_GATE}; "
        f"p99/p50 {ours.fairness:.2f}, the gate is {FAIRNESS_GATE}"
    )


if __name__ == "__main__":
    sys.exit(main())
