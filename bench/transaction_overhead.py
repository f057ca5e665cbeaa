"""What a transaction costs through rdskit, beside BEGIN, one statement and COMMIT on the plain driver.

``db.transaction`` and ``db.run`` with one SELECT by primary key are held against a gate. With one UPDATE it shows what
the fence adds by which a lost COMMIT is resolved: a row, which on PostgreSQL travels with COMMIT and elsewhere costs a
round trip.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncmy
import asyncpg

import harness
import rdskit
from rdskit.local.engines.mysql.throwaway import throwaway_mariadb, throwaway_mysql
from rdskit.local.engines.postgres.throwaway import throwaway_postgres

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rdskit.client.transactions import Transaction

GATE = 20.0
"""Microseconds that rdskit may add to a transaction that only reads."""
SELECT = "select id, name from users where id = :id"
UPDATE = "update users set visits = visits + 1 where id = :id"
TABLE = "create table users (id int primary key, name varchar(100) not null, visits int not null)"
SERVERS: dict[str, Callable[[Path], Any]] = {
    "postgresql": throwaway_postgres,
    "mariadb": throwaway_mariadb,
    "mysql": throwaway_mysql,
}


@dataclass(frozen=True, slots=True)
class Raw:
    """Three round trips on one plain connection.

    Attributes:
        driver: its name.
        transaction: BEGIN, a statement with one parameter, and COMMIT.
        close: ends the connection.
    """

    driver: str
    transaction: Callable[[str], Awaitable[None]]
    close: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; only what has a gate is held against it."""

    engine: str
    name: str
    microseconds: float
    added: float
    ratio: float
    low: float
    high: float
    gate: float | None = None

    @property
    def missed(self) -> bool:
        """Whether it adds more than it may."""
        return self.gate is not None and self.added > self.gate


async def open_asyncpg(url: str) -> Raw:
    connection = await asyncpg.connect(url)

    async def transaction(statement: str) -> None:
        await connection.execute("begin")
        await connection.fetchrow(statement.replace(":id", "$1"), 7)
        await connection.execute("commit")

    return Raw("asyncpg", transaction, connection.close)


async def open_asyncmy(server: Any) -> Raw:
    connection = await asyncmy.connect(
        host=server.host,
        port=server.port,
        user=server.superuser,
        password=server.password,
        database="bench",
        autocommit=True,
        stmt_cache_size=100,
    )

    async def transaction(statement: str) -> None:
        await connection.begin()
        async with connection.cursor() as cursor:
            await cursor.execute(statement.replace(":id", "%s"), (7,))
            await cursor.fetchone()
        await connection.commit()

    return Raw("asyncmy", transaction, connection.ensure_closed)


async def fill(db: rdskit.Database) -> None:
    """Make the table that every transaction here is about, and ours."""
    await db.setup()
    await db.execute(TABLE)
    await db.insert_many("users", [{"id": n, "name": f"name {n}", "visits": 0} for n in range(1, 1001)])


async def select(tx: Transaction) -> None:
    await tx.fetch_one(SELECT, id=7)


async def update(tx: Transaction) -> None:
    await tx.execute(UPDATE, id=7)


def calls(db: rdskit.Database) -> dict[str, Callable[[], Awaitable[None]]]:
    """Return the measured calls of rdskit by name."""

    async def block() -> None:
        async with db.transaction() as tx:
            await tx.fetch_one(SELECT, id=7)

    return {
        "SELECT, db.transaction": block,
        "SELECT, db.run": lambda: db.run(select),
        "UPDATE, db.run without a fence": lambda: db.run(update, exactly_once=False),
        "UPDATE, db.run": lambda: db.run(update),
    }


def measure(engine: str, runner: asyncio.Runner, raw: Raw, db: rdskit.Database, effort: harness.Effort) -> list[Row]:
    """All rows of an engine: first the driver against itself."""
    reading = harness.async_contender(runner, raw.driver, lambda: raw.transaction(SELECT))
    writing = harness.async_contender(runner, raw.driver, lambda: raw.transaction(UPDATE))
    again = harness.async_contender(runner, f"SELECT, {raw.driver} again", lambda: raw.transaction(SELECT))
    rows = [row(engine, harness.compare(reading, again, effort), None)]
    for name, call in calls(db).items():
        reads = name.startswith("SELECT")
        contender = harness.async_contender(runner, name, call)
        compared = harness.compare(reading if reads else writing, contender, effort)
        rows.append(row(engine, compared, GATE if reads else None))
    return rows


def row(engine: str, found: harness.Comparison, gate: float | None) -> Row:
    return Row(engine, found.name, found.microseconds, found.added, found.ratio, found.low, found.high, gate)


def run(engine: str, effort: harness.Effort, *, one_cpu: bool) -> tuple[list[Row], bool]:
    """Measure an engine on a server of its own; give its rows, and whether they can be trusted."""
    with tempfile.TemporaryDirectory(prefix="rdskit-bench-") as directory, SERVERS[engine](Path(directory)) as server:
        database = "postgres" if engine == "postgresql" else "bench"
        url = f"{engine}://{server.superuser}:{server.password}@{server.host}:{server.port}/{database}"
        if engine != "postgresql":
            with server.connect() as session:
                session.execute("create database bench")
        with asyncio.Runner() as runner:
            db = runner.run(connected(url))
            raw = runner.run(open_asyncpg(url) if engine == "postgresql" else open_asyncmy(server))
            pinned = harness.pin(server.pid, one_cpu=one_cpu)
            rows = measure(engine, runner, raw, db, effort)
            runner.run(closed(raw, db))
    return rows, pinned and harness.is_valid(rows[0].ratio)


async def connected(url: str) -> rdskit.Database:
    db = await rdskit.connect(url, tls="off")
    await fill(db)
    return db


async def closed(raw: Raw, db: rdskit.Database) -> None:
    await raw.close()
    await db.close()


def show(engine: str, rows: list[Row], *, valid: bool) -> None:
    """Print an engine's table and what it says."""
    lines = [
        (
            each.name,
            f"{each.microseconds:.1f}",
            f"{each.added:+.1f}",
            f"{each.ratio:.3f}",
            f"{each.low:.2f}..{each.high:.2f}",
        )
        for each in rows
    ]
    harness.print_table((engine, "µs", "added µs", "x driver", "quartiles"), lines)
    missed = [each.name for each in rows if each.missed]
    verdict = f"missed by {', '.join(missed)}" if missed else "met"
    print(f"gate: at most {GATE:g} µs added to a transaction that reads: {verdict if valid else harness.NOT_VALID}\n")


def main() -> int:
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--engine", choices=tuple(SERVERS), action="append", help="only this one; may be repeated")
    options = parser.parse_args()
    effort = harness.Effort(options.calls, options.rounds)
    rows: list[Row] = []
    valid: dict[str, bool] = {}
    for engine in options.engine or SERVERS:
        measured, valid[engine] = run(engine, effort, one_cpu=options.one_cpu)
        show(engine, measured, valid=valid[engine])
        rows += measured
    missed = [f"{each.engine}: {each.name}" for each in rows if each.missed]
    harness.write_json(options.json, {"gate": GATE, "valid": valid, "missed": missed}, rows)
    return 0 if all(valid.values()) and not missed else 1


if __name__ == "__main__":
    sys.exit(main())
