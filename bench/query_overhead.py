"""What a single-row SELECT by primary key costs through rdskit and its peers, beside a plain asyncpg connection.

One PostgreSQL, reached directly; every peer keeps its connection open and has its statement prepared. Synchronous
peers are compared with plain psycopg too, their own driver.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
import psycopg_pool
import sqlalchemy
from aws_advanced_python_wrapper import AwsWrapperConnection, release_resources
from sqlalchemy.ext.asyncio import create_async_engine

import harness
import rdskit
from raw_vs_raw import QUERY, fill, raw
from rdskit.local.engines.throwaway import throwaway_postgres

if TYPE_CHECKING:
    from rdskit.local.engines.throwaway import ThrowawayPostgres

NAMED = QUERY.replace("$1", ":id")
FORMAT = QUERY.replace("$1", "%s")
GATE = 1.15

AsyncPeer = tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[object]]]
SyncPeer = tuple[Callable[[], object], Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; ``own_ratio`` is against the peer's own driver where that is not asyncpg."""

    name: str
    driver: str
    microseconds: float
    added: float
    ratio: float
    low: float
    high: float
    own_ratio: float | None = None


# --- asynchronous peers: each opens, and gives one call and a way to close -----------------------------------------


async def open_rdskit(server: ThrowawayPostgres) -> AsyncPeer:
    db = await rdskit.connect(server.dsn.partition("?")[0], tls="off")
    return lambda: db.fetch_one(NAMED, id=7), db.close


async def open_asyncpg_pool(server: ThrowawayPostgres) -> AsyncPeer:
    pool = await asyncpg.create_pool(server.dsn, min_size=1, max_size=10)
    return lambda: pool.fetchrow(QUERY, 7), pool.close


async def open_asyncpg_pool_without_reset(server: ThrowawayPostgres) -> AsyncPeer:
    async def nothing(_connection: object) -> None:
        pass

    pool = await asyncpg.create_pool(server.dsn, min_size=1, max_size=10, reset=nothing)
    return lambda: pool.fetchrow(QUERY, 7), pool.close


async def open_psycopg_pool(server: ThrowawayPostgres) -> AsyncPeer:
    options = {"autocommit": True, "prepare_threshold": 0}
    pool = psycopg_pool.AsyncConnectionPool(server.dsn, min_size=1, max_size=10, open=False, kwargs=options)
    await pool.open(wait=True)

    async def call() -> object:
        async with pool.connection() as connection:
            cursor = await connection.execute(FORMAT, (7,))
            return await cursor.fetchone()

    return call, pool.close


async def open_sqlalchemy(server: ThrowawayPostgres) -> AsyncPeer:
    url = sqlalchemy.make_url(server.dsn).set(drivername="postgresql+asyncpg", query={})
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    statement = sqlalchemy.text(NAMED)

    async def call() -> object:
        async with engine.connect() as connection:
            return (await connection.execute(statement, {"id": 7})).one()

    return call, engine.dispose


ASYNC_PEERS: dict[str, Callable[[ThrowawayPostgres], Awaitable[AsyncPeer]]] = {
    "rdskit": open_rdskit,
    "asyncpg.Pool": open_asyncpg_pool,
    "asyncpg.Pool, no reset": open_asyncpg_pool_without_reset,
    "psycopg_pool": open_psycopg_pool,
    "SQLAlchemy async": open_sqlalchemy,
}

# --- synchronous peers ---------------------------------------------------------------------------------------------


def open_psycopg(server: ThrowawayPostgres) -> SyncPeer:
    connection = psycopg.connect(server.dsn, autocommit=True, prepare_threshold=0)
    return _cursor_call(connection), connection.close


def open_wrapper(server: ThrowawayPostgres, **options: Any) -> SyncPeer:
    connection = AwsWrapperConnection.connect(
        psycopg.Connection.connect,
        host=server.host,
        port=str(server.port),
        user=server.superuser,
        password=server.password,
        dbname="postgres",
        autocommit=True,
        prepare_threshold=0,
        **options,
    )
    return _cursor_call(connection), connection.close


def _cursor_call(connection: Any) -> Callable[[], object]:
    def call() -> object:
        with connection.cursor() as cursor:
            cursor.execute(FORMAT, (7,))
            return cursor.fetchone()

    return call


SYNC_PEERS: dict[str, Callable[[ThrowawayPostgres], SyncPeer]] = {
    "AWS wrapper, no plugins": lambda server: open_wrapper(server, plugins=""),
    "AWS wrapper, default plugins": open_wrapper,
}

# --- measuring -----------------------------------------------------------------------------------------------------


def measure_async(
    runner: asyncio.Runner, baseline: harness.Contender, server: ThrowawayPostgres, effort: harness.Effort
) -> list[Row]:
    rows = []
    for name, opened in ASYNC_PEERS.items():
        call, close = runner.run(_await(opened(server)))
        contender = harness.async_contender(runner, name, call)
        rows.append(_row(harness.compare(baseline, contender, effort), "psycopg" if "psycopg" in name else "asyncpg"))
        runner.run(_await(close()))
    return rows


def measure_sync(baseline: harness.Contender, server: ThrowawayPostgres, effort: harness.Effort) -> list[Row]:
    own_call, own_close = open_psycopg(server)
    own = harness.sync_contender("psycopg", own_call)
    rows = [_row(harness.compare(baseline, own, effort), "psycopg")]
    for name, opened in SYNC_PEERS.items():
        call, close = opened(server)
        contender = harness.sync_contender(name, call)
        against_own = harness.compare(own, contender, effort).ratio
        rows.append(_row(harness.compare(baseline, contender, effort), "psycopg", against_own))
        close()
    own_close()
    release_resources()
    return rows


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _row(figures: harness.Comparison, driver: str, own_ratio: float | None = None) -> Row:
    return Row(
        name=figures.name,
        driver=driver,
        microseconds=figures.microseconds,
        added=figures.added,
        ratio=figures.ratio,
        low=figures.low,
        high=figures.high,
        own_ratio=own_ratio,
    )


def measure(server: ThrowawayPostgres, effort: harness.Effort) -> list[Row]:
    """All rows: first raw against raw, then rdskit and the peers."""
    with asyncio.Runner() as runner:
        first, second = (runner.run(_await(asyncpg.connect(server.dsn))) for _ in range(2))
        baseline = raw(runner, first, "asyncpg")
        rows = [_row(harness.compare(baseline, raw(runner, second, "asyncpg, again"), effort), "asyncpg")]
        rows += measure_async(runner, baseline, server, effort)
        rows += measure_sync(baseline, server, effort)
        runner.run(first.close())
        runner.run(second.close())
    return rows


def show(rows: list[Row]) -> None:
    """Print the table."""
    lines = [
        (
            row.name,
            row.driver,
            f"{row.microseconds:.1f}",
            f"{row.added:+.1f}",
            f"{row.ratio:.3f}",
            f"{row.low:.2f}..{row.high:.2f}",
            f"{row.own_ratio:.2f}" if row.own_ratio else "",
        )
        for row in rows
    ]
    headings = ("select by primary key", "driver", "µs", "added µs", "x asyncpg", "quartiles", "x own driver")
    harness.print_table(headings, lines)


def main() -> int:
    """Measure, print, and say whether the figures can be trusted and whether rdskit is within its gate."""
    options = harness.arguments(__doc__ or "").parse_args()
    logging.disable(logging.ERROR)  # the AWS wrapper logs at import and at connect that a server is not on RDS
    effort = harness.Effort(options.calls, options.rounds)
    with tempfile.TemporaryDirectory() as directory, throwaway_postgres(Path(directory)) as server:
        asyncio.run(fill(server.dsn))
        pinned = harness.pin(server.pid, one_cpu=options.one_cpu)
        rows = measure(server, effort)
    show(rows)
    valid = pinned and harness.is_valid(rows[0].ratio)
    print(f"rdskit: {rows[1].ratio:.3f} x asyncpg; the gate is {GATE}" if valid else harness.NOT_VALID)
    harness.write_json(options.json, {"valid": valid, "pinned": pinned, "gate": GATE}, rows)
    return 0 if valid else 1


if __name__ == "__main__":
    sys.exit(main())
