"""Many rows in and out: ``insert_many`` beside the drivers' own ways and SQLAlchemy, and the memory of a ``stream``.

Contenders insert the same rows into an emptied table with a primary key; two take turns, and what counts is the median
of the ratios of neighbouring runs. asyncpg's COPY is given tuples that were made before, ``insert_many`` dicts. With a
conflict clause some of the rows are there already. What PostgreSQL itself needs to update half of the rows, once it has
them, is shown beside it, and the way to it by hand: COPY to a temporary table, and INSERT … ON CONFLICT from there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import itertools
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncmy
import asyncpg
import psutil
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

import harness
import rdskit
from rdskit.local.engines.mysql.throwaway import throwaway_mariadb, throwaway_mysql
from rdskit.local.engines.postgres.throwaway import throwaway_postgres

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

ROWS = 1_000_000
STREAMED = 5_000_000
ROUNDS = 9
MIB = 1024 * 1024
FLAT = 1.1  # a stream's highest memory, over what it was after a tenth of the rows
COLUMNS = ("id", "customer", "amount", "paid", "created_at")
GATES = {
    "dicts": 0.85,
    "a generator": 0.9,
    "ignore, 10 % there": 0.4,
    "ignore, 50 % there": 0.4,
    "update, 10 % there": 0.4,
    "update, 50 % there, again": 0.9,  # to the way by hand
}
CHANGES = ", ".join(f"{name} = {{0}}.{name}" for name in COLUMNS[1:])
STAGING = "create temporary table staged on commit drop as select * from payments with no data"
BY_HAND = f"insert into payments select * from staged on conflict (id) do update set {CHANGES.format('excluded')}"
UPDATE = f"update payments set {CHANGES.format('staged')} from staged where payments.id = staged.id"
SERVERS: dict[str, Callable[[Path], Any]] = {
    "postgresql": throwaway_postgres,
    "mariadb": throwaway_mariadb,
    "mysql": throwaway_mysql,
}

Insert = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Inserted:
    """One line of the first table; ``speed`` is rows a second over the baseline's."""

    engine: str
    name: str
    baseline: str
    rows_per_second: float
    speed: float
    low: float
    high: float
    gate: float | None


@dataclass(frozen=True, slots=True)
class Streamed:
    """One line of the second table: this process's memory in MiB after a tenth of the rows, and its peak after that."""

    engine: str
    rows: int
    rows_per_second: float
    early: float
    highest: float

    @property
    def is_flat(self) -> bool:
        """Whether the rows left nothing behind."""
        return self.highest <= FLAT * self.early


# --- rows ----------------------------------------------------------------------------------------------------------


def dicts(count: int) -> Iterator[dict[str, Any]]:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    for number in range(count):
        yield {
            "id": number,
            "customer": f"customer {number % 5000}",
            "amount": number * 0.01,
            "paid": number % 3 == 0,
            "created_at": start + timedelta(seconds=number),
        }


def tuples(count: int) -> Iterator[tuple[Any, ...]]:
    return (tuple(row.values()) for row in dicts(count))


@functools.cache
def made_dicts(count: int) -> list[dict[str, Any]]:
    return list(dicts(count))


@functools.cache
def made_tuples(count: int) -> list[tuple[Any, ...]]:
    return list(tuples(count))


# --- engines -------------------------------------------------------------------------------------------------------


class Bench:
    """One server, everything that is connected to it, and the contenders.

    Args:
        name: of the engine.
        server: throw-away.
    """

    def __init__(self, name: str, server: Any) -> None:
        self.name = name
        self.is_postgres = name == "postgresql"
        account = f"{server.superuser}:{server.password}@{server.host}:{server.port}"
        self._url = f"{name}://{account}/{'postgres' if self.is_postgres else 'bench'}"
        self._server = server

    async def open(self) -> None:
        """Connect, and make the table."""
        if not self.is_postgres:
            with self._server.connect() as session:
                session.execute("create database bench")
        self.db = await rdskit.connect(self._url, tls="off", timeout=None, max_size=2)
        moment, truth = ("timestamptz", "boolean") if self.is_postgres else ("timestamp", "tinyint(1)")
        await self.db.execute(
            f"create table payments (id bigint primary key, customer varchar(40) not null, "
            f"amount double precision not null, paid {truth} not null, created_at {moment} not null)"
        )
        driver = "postgresql+asyncpg" if self.is_postgres else "mysql+asyncmy"
        self.engine = create_async_engine(sqlalchemy.make_url(self._url).set(drivername=driver))
        table = sqlalchemy.Table("payments", sqlalchemy.MetaData(), *(sqlalchemy.Column(name) for name in COLUMNS))
        self.table = sqlalchemy.insert(table)
        self.raw = await self._open_raw()

    async def close(self) -> None:
        """Disconnect."""
        await self.db.close()
        await self.engine.dispose()
        await (self.raw.close() if self.is_postgres else self.raw.ensure_closed())

    def contender(self, runner: asyncio.Runner, name: str, insert: Insert, there: float = 0.0) -> harness.Contender:
        """Return a contender whose block inserts that many rows, of which the share ``there`` exists already."""

        async def block(rows: int) -> float:
            await self.db.execute("truncate table payments")
            if there:
                await self.db.insert_many("payments", made_dicts(rows)[: int(rows * there)])
            if self.is_postgres:  # or one contender's rows are written to disk in the time of the next
                await self.db.execute("checkpoint")
            start = time.perf_counter()
            await insert(rows)
            return time.perf_counter() - start

        return harness.Contender(name, lambda rows: runner.run(block(rows)))

    async def ours(self, rows: int, **options: Any) -> object:
        """``insert_many`` of dicts in memory."""
        return await self.db.insert_many("payments", made_dicts(rows), **options)

    async def ours_lazily(self, rows: int) -> object:
        """``insert_many`` of dicts that are made while they are sent."""
        return await self.db.insert_many("payments", dicts(rows))

    async def copy(self, rows: int) -> object:
        """COPY of tuples in memory, by asyncpg."""
        return await self.raw.copy_records_to_table("payments", records=made_tuples(rows), columns=COLUMNS)

    async def copy_lazily(self, rows: int) -> object:
        """COPY of tuples that are made while they are sent, by asyncpg."""
        return await self.raw.copy_records_to_table("payments", records=tuples(rows), columns=COLUMNS)

    async def upsert_by_hand(self, rows: int) -> object:
        """COPY of tuples to a temporary table, and INSERT … ON CONFLICT from there."""
        async with self.raw.transaction():
            await self.raw.execute(STAGING)
            await self.raw.copy_records_to_table("staged", records=made_tuples(rows), columns=COLUMNS)
            return await self.raw.execute(BY_HAND)

    def update_of_half(self, runner: asyncio.Runner) -> harness.Contender:
        """PostgreSQL's own UPDATE of half of the rows, which it has in a temporary table."""

        async def block(rows: int) -> float:
            half = made_tuples(rows)[: rows // 2]
            await self.db.execute("truncate table payments")
            await self.raw.copy_records_to_table("payments", records=half, columns=COLUMNS)
            await self.db.execute("checkpoint")
            async with self.raw.transaction():
                await self.raw.execute(STAGING)
                await self.raw.copy_records_to_table("staged", records=half, columns=COLUMNS)
                start = time.perf_counter()
                await self.raw.execute(UPDATE)
                return time.perf_counter() - start

        return harness.Contender("UPDATE alone of half the rows", lambda rows: runner.run(block(rows)))

    async def executemany(self, rows: int) -> object:
        """Run the driver's executemany."""
        if self.is_postgres:
            return await self.raw.executemany("insert into payments values ($1, $2, $3, $4, $5)", made_tuples(rows))
        async with self.raw.cursor() as cursor:
            await cursor.executemany("insert into payments values (%s, %s, %s, %s, %s)", made_tuples(rows))
            return await self.raw.commit()

    async def sqlalchemy(self, rows: int) -> object:
        """SQLAlchemy's insert of dicts."""
        async with self.engine.begin() as connection:
            return await connection.execute(self.table, made_dicts(rows))

    async def _open_raw(self) -> Any:
        if self.is_postgres:
            return await asyncpg.connect(self._url)
        server = self._server
        return await asyncmy.connect(
            host=server.host, port=server.port, user=server.superuser, password=server.password, database="bench"
        )


# --- measuring -----------------------------------------------------------------------------------------------------


def measure_inserts(
    bench: Bench, runner: asyncio.Runner, effort: harness.Effort, few: harness.Effort
) -> list[Inserted]:
    """Everybody against the fastest plain way of the driver."""
    contender = functools.partial(bench.contender, runner)
    own = ("COPY of tuples", bench.copy) if bench.is_postgres else ("executemany", bench.executemany)
    own_lazily = ("COPY of the same generator", bench.copy_lazily) if bench.is_postgres else own
    baseline, lazily = contender(*own), contender(*own_lazily)
    again = contender(f"{own[0]}, again", own[1])
    rows = [_line(bench, harness.compare(baseline, again, few))]
    # These two are near to the driver, and single pairs differ by a fifth: more of them for the same certainty.
    more = dataclasses.replace(effort, rounds=3 * effort.rounds) if bench.is_postgres else effort
    rows.append(_line(bench, harness.compare(baseline, contender("dicts", bench.ours), more)))
    rows.append(_line(bench, harness.compare(lazily, contender("a generator", bench.ours_lazily), more)))
    for choice, there in itertools.product(("ignore", "update"), (0.1, 0.5)):
        insert = functools.partial(bench.ours, on_conflict=choice)
        conflicting = contender(f"{choice}, {there:.0%} there".replace("%", " %"), insert, there)
        rows.append(_line(bench, harness.compare(baseline, conflicting, effort)))
    if bench.is_postgres:
        rows.append(_line(bench, harness.compare(baseline, bench.update_of_half(runner), effort)))
        by_hand = contender("50 % there, by hand", bench.upsert_by_hand, 0.5)
        update = functools.partial(bench.ours, on_conflict="update")
        rows.append(_line(bench, harness.compare(by_hand, contender("update, 50 % there, again", update, 0.5), effort)))
    peers = {"SQLAlchemy": bench.sqlalchemy} | ({"executemany": bench.executemany} if bench.is_postgres else {})
    rows += [_line(bench, harness.compare(baseline, contender(name, peer), few)) for name, peer in peers.items()]
    return rows


def _line(bench: Bench, figures: harness.Comparison) -> Inserted:
    return Inserted(
        engine=bench.name,
        name=figures.name,
        baseline=figures.baseline,
        rows_per_second=1e6 / figures.microseconds,
        speed=1 / figures.ratio,
        low=1 / figures.high,
        high=1 / figures.low,
        gate=GATES.get(figures.name) if bench.is_postgres else None,
    )


async def measure_stream(bench: Bench, rows: int) -> Streamed:
    """Read many rows and watch this process's memory."""
    await bench.db.execute("truncate table payments")
    times = max(1, rows // 1000)
    await bench.db.insert_many("payments", dicts(max(1000, times)))
    text = "select p.*, t.id as number from payments p, payments t where p.id < 1000 and t.id < :times"
    process, seen, early, highest, step = psutil.Process(), 0, 0, 0, max(1, rows // 100)
    start = time.perf_counter()
    async for _ in bench.db.stream(text, times=times, timeout=None):
        seen += 1
        if seen % step == 0:
            memory = process.memory_info().rss
            early, highest = (memory, memory) if seen <= rows // 10 else (early, max(highest, memory))
    seconds = time.perf_counter() - start
    return Streamed(bench.name, seen, seen / seconds, early / MIB, highest / MIB)


def measure(name: str, options: argparse.Namespace) -> tuple[list[Inserted], Streamed, bool]:
    """One engine."""
    with (
        tempfile.TemporaryDirectory() as directory,
        SERVERS[name](Path(directory)) as server,
        asyncio.Runner() as runner,
    ):
        bench = Bench(name, server)
        runner.run(bench.open())
        pinned = harness.pin(server.pid, one_cpu=options.one_cpu)
        streamed = runner.run(measure_stream(bench, options.streamed))
        rows = options.rows if bench.is_postgres else max(100, options.rows // 5)
        effort = harness.Effort(rows, options.rounds)
        inserted = measure_inserts(bench, runner, effort, harness.Effort(max(100, rows // 10), options.rounds))
        runner.run(bench.close())
    return inserted, streamed, pinned


# --- telling -------------------------------------------------------------------------------------------------------


def show(inserted: list[Inserted], streamed: list[Streamed]) -> None:
    """Print both tables."""
    lines = [
        (
            f"{row.engine}: {row.name}",
            row.baseline,
            f"{row.rows_per_second:,.0f}",
            f"{row.speed:.2f}",
            f"{row.low:.2f}..{row.high:.2f}",
            f"{row.gate}" if row.gate else "",
        )
        for row in inserted
    ]
    harness.print_table(("insert", "against", "rows/s", "x", "quartiles", "gate"), lines)
    print()
    memory = [
        (row.engine, f"{row.rows:,}", f"{row.rows_per_second:,.0f}", f"{row.early:.0f}", f"{row.highest:.0f}")
        for row in streamed
    ]
    harness.print_table(("stream", "rows", "rows/s", "MiB after a tenth", "highest after it"), memory)


def arguments() -> argparse.Namespace:
    parser = harness.arguments(__doc__ or "")
    parser.set_defaults(rounds=ROUNDS)
    parser.add_argument(
        "--rows", type=int, default=ROWS, help="rows of an insert; a fifth on MySQL and MariaDB (default: %(default)s)"
    )
    parser.add_argument("--streamed", type=int, default=STREAMED, help="rows of a stream (default: %(default)s)")
    parser.add_argument("--only", choices=SERVERS, action="append", help="measure this engine only")
    return parser.parse_args()


def main() -> int:
    """Measure, print, and say whether the figures can be trusted and whether the gates hold."""
    options = arguments()
    measured = [measure(name, options) for name in options.only or SERVERS]
    inserted = [row for rows, _, _ in measured for row in rows]
    show(inserted, [streamed for _, streamed, _ in measured])
    pinned = all(each for _, _, each in measured)
    missed = [row.name for row in inserted if row.gate and row.speed < row.gate]
    missed += [f"memory of a stream of {stream.engine}" for _, stream, _ in measured if not stream.is_flat]
    print(f"gates missed: {', '.join(missed) or 'none'}" if pinned else harness.NOT_VALID)
    rows = [*inserted, *(streamed for _, streamed, _ in measured)]
    harness.write_json(options.json, {"pinned": pinned, "missed": missed}, rows)
    return 0 if pinned and not missed else 1


if __name__ == "__main__":
    sys.exit(main())
