"""What pipelined reads make of 1 to 1,000 tasks, beside pools: throughput, 99th percentile and connections used.

Every task reads single rows by primary key. In each round the contenders take turns, and a ratio is the median over the
rounds of one contender's throughput to another's. The servers speak no TLS here.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncmy
import asyncpg
import psycopg_pool

import harness
import rdskit
from pool_contention import Crowd
from rdskit.local.engines.mysql.throwaway import throwaway_mariadb
from rdskit.local.engines.postgres.throwaway import throwaway_postgres

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractContextManager

    from peers import Server

TASKS = (1, 5, 20, 100, 1000)
CALLS = 4000
ROUNDS = 3
CONNECTIONS = 10
ROWS = 1000
COLUMNS = {1: "name", 5: "id, name, amount, at, flag"}
TABLE = "create table read_rows (id bigint primary key, name varchar(40), amount numeric(12,2), at timestamp, flag int)"
ROW = ("name", "12.50", "2026-01-01 12:00:00", "1")
LINE = 100
"""Tasks at which the gates are."""
OURS, POOL = "rdskit", "rdskit, pool only"


class Peer(NamedTuple):
    """Something that reads.

    Attributes:
        call: reads one row, given the columns.
        close: closes it.
        connections: how many it has open.
    """

    call: Callable[[str], Awaitable[object]]
    close: Callable[[], Awaitable[object]]
    connections: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        engine: the server.
        tasks: that read at the same time.
        columns: of each row.
        name: the contender.
        qps: reads a second; median of the rounds.
        p99: milliseconds that 99 of 100 reads took at most; median of the rounds.
        connections: open at the end.
        ratio: rdskit's throughput to this one's; median of the rounds.
    """

    engine: str
    tasks: int
    columns: int
    name: str
    qps: float
    p99: float
    connections: int
    ratio: float


def _url(server: Server, scheme: str, database: str) -> str:
    return f"{scheme}://{server.superuser}:{server.password}@{server.host}:{server.port}/{database}"


async def open_rdskit(url: str, pipeline: str) -> Peer:
    db = await rdskit.connect(url, tls="off", max_size=CONNECTIONS, max_waiting=max(TASKS), pipeline=pipeline)  # type: ignore[arg-type]

    def connections() -> int:
        stats = db.stats().writer
        return stats.size + (stats.lanes.connections if stats.lanes else 0)

    return Peer(
        lambda columns: db.fetch_one(f"select {columns} from read_rows where id = :id", id=7), db.close, connections
    )


async def open_asyncpg(url: str, *, resets: bool) -> Peer:
    async def nothing(_connection: object) -> None:
        pass

    reset = {} if resets else {"reset": nothing}
    pool = await asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS, **reset)
    return Peer(
        lambda columns: pool.fetchrow(f"select {columns} from read_rows where id = $1", 7), pool.close, pool.get_size
    )


async def open_psycopg(url: str) -> Peer:
    """Open psycopg's pool; each read is in an explicit pipeline of its own task."""
    pool = psycopg_pool.AsyncConnectionPool(
        url, min_size=CONNECTIONS, max_size=CONNECTIONS, open=False, kwargs={"autocommit": True, "prepare_threshold": 0}
    )
    await pool.open(wait=True)

    async def call(columns: str) -> object:
        async with pool.connection() as connection, connection.pipeline():
            cursor = await connection.execute(f"select {columns} from read_rows where id = %s".encode(), (7,))
            return await cursor.fetchone()

    return Peer(call, pool.close, lambda: CONNECTIONS)


async def open_asyncmy(server: Server) -> Peer:
    pool: Any = await asyncmy.create_pool(
        host=server.host,
        port=server.port,
        user=server.superuser,
        password=server.password,
        db="mysql",
        minsize=CONNECTIONS,
        maxsize=CONNECTIONS,
        autocommit=True,
    )

    async def call(columns: str) -> object:
        async with pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(f"select {columns} from read_rows where id = %s", (7,))
            return await cursor.fetchone()

    async def close() -> None:
        pool.close()
        await pool.wait_closed()

    return Peer(call, close, lambda: CONNECTIONS)


async def open_all(engine: str, server: Server) -> dict[str, Peer]:
    """Fill the table and open every contender."""
    if engine == "postgresql":
        url = _url(server, engine, "postgres")
        others = {
            "asyncpg.Pool": await open_asyncpg(url, resets=True),
            "asyncpg.Pool, no reset": await open_asyncpg(url, resets=False),
            "psycopg_pool, pipeline": await open_psycopg(url),
        }
    else:
        url = _url(server, engine, "mysql")
        others = {"asyncmy.Pool": await open_asyncmy(server)}
    async with rdskit.connect(url, tls="off") as db:
        await db.execute(TABLE)
        values = ", ".join(f"({number}, '{ROW[0]}', {ROW[1]}, '{ROW[2]}', {ROW[3]})" for number in range(ROWS))
        await db.execute(f"insert into read_rows values {values}")
    return {OURS: await open_rdskit(url, "auto"), POOL: await open_rdskit(url, "off"), **others}


def measure(
    runner: asyncio.Runner, engine: str, peers: dict[str, Peer], effort: harness.Effort, numbers: Sequence[int]
) -> list[Row]:
    """Return all rows of an engine."""
    rows: list[Row] = []
    for tasks in numbers:
        for count, columns in COLUMNS.items():
            calls = max(effort.calls // (4 if tasks == 1 else 1), tasks * 4)
            crowds = {name: _crowd(runner, peer, columns, tasks) for name, peer in peers.items()}
            seconds: dict[str, list[float]] = {name: [] for name in peers}
            for crowd in crowds.values():
                crowd.block(calls)  # so that statements are known and connections are open
                crowd.blocks.clear()
            for _ in range(effort.rounds):
                for name, crowd in crowds.items():
                    seconds[name].append(crowd.block(calls))
            rows += [
                Row(
                    engine=engine,
                    tasks=tasks,
                    columns=count,
                    name=name,
                    qps=calls // tasks * tasks / statistics.median(took),
                    p99=statistics.median(statistics.quantiles(block, n=100)[98] for block in crowds[name].blocks)
                    * 1e3,
                    connections=peers[name].connections(),
                    ratio=statistics.median(theirs / ours for theirs, ours in zip(took, seconds[OURS], strict=True)),
                )
                for name, took in seconds.items()
            ]
    return rows


def _crowd(runner: asyncio.Runner, peer: Peer, columns: str, tasks: int) -> Crowd:
    return Crowd(runner, [lambda: peer.call(columns)] * tasks)


def show(rows: list[Row]) -> None:
    """Print the table."""
    headings = ("contender", "engine", "tasks", "columns", "reads/s", "p99 ms", "connections", "rdskit is x times")
    lines = [
        (
            row.name,
            row.engine,
            str(row.tasks),
            str(row.columns),
            f"{row.qps:,.0f}",
            f"{row.p99:.2f}",
            str(row.connections),
            f"{row.ratio:.2f}",
        )
        for row in rows
    ]
    harness.print_table(headings, lines)


def kept(rows: list[Row]) -> bool:
    """Return whether rdskit is within the gates: at 100 tasks beside the pools, and at one task beside its own."""
    gates = {"asyncpg.Pool": 6.0, "asyncmy.Pool": 2.0, POOL: 2.0}
    many = all(row.ratio >= gates.get(row.name, 0.0) for row in rows if row.tasks == LINE)
    return many and all(row.ratio >= 0.95 for row in rows if row.tasks == 1 and row.name == POOL)


def main() -> int:
    """Measure, print, and say whether rdskit is within its gates."""
    logging.disable(logging.CRITICAL)
    parser = harness.arguments(__doc__ or "")
    parser.set_defaults(calls=CALLS, rounds=ROUNDS)
    parser.add_argument("--only", default="", metavar="TEXT", help="the engine: postgresql or mariadb")
    parser.add_argument("--tasks", type=int, action="append", help="so many at the same time; may be given again")
    options = parser.parse_args()
    rows: list[Row] = []
    pinned = True
    servers: dict[str, Callable[[Path], AbstractContextManager[Server]]] = {
        "postgresql": throwaway_postgres,
        "mariadb": throwaway_mariadb,
    }
    for engine, started in servers.items():
        if options.only not in engine:
            continue
        with tempfile.TemporaryDirectory() as directory, started(Path(directory)) as server, asyncio.Runner() as runner:
            peers = runner.run(open_all(engine, server))
            pinned = harness.pin(server.pid, one_cpu=options.one_cpu) and pinned
            rows += measure(
                runner, engine, peers, harness.Effort(options.calls, options.rounds), options.tasks or TASKS
            )
            for peer in peers.values():
                runner.run(_await(peer.close()))
    show(rows)
    print("within the gates" if kept(rows) else "NOT within the gates")
    harness.write_json(options.json, {"pinned": pinned, "kept": kept(rows)}, rows)
    return 0 if kept(rows) else 1


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


if __name__ == "__main__":
    sys.exit(main())
