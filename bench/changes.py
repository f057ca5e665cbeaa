"""Changes that wait in the log, to typed rows in one process: ``rdskit.stream.changes`` beside peers.

PostgreSQL beside a loop over psycopg's replication connection that decodes ``pgoutput`` in the plain way; MySQL and
MariaDB beside mysql-replication, where that is installed. Rows per second on the wall clock, and of this process's CPU.
"""

from __future__ import annotations

import asyncio
import importlib.util
import struct
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

import harness
import rdskit
from rdskit.local.engines.mysql.throwaway import throwaway_mariadb, throwaway_mysql
from rdskit.local.engines.postgres.throwaway import throwaway_postgres
from rdskit.stream import changes
from rdskit.stream.capture import Status, drop, status

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 200_000
GATE = 100_000  # rows per second of CPU, on PostgreSQL
COLUMNS = "id int primary key, customer int, amount decimal(10, 2), name varchar(40), at timestamp"
READERS: tuple[Callable[[str], Any], ...] = (int, int, Decimal, str, datetime.fromisoformat)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    engine: str
    name: str
    rows: int
    per_second: float
    per_cpu_second: float


async def fill(db: rdskit.Database, engine: str, count: int) -> None:
    """Write the rows, a thousand in each transaction."""
    moment = datetime(2024, 2, 29, 12, 34, 56)  # noqa: DTZ001 - the column has no zone
    for begin in range(0, count, 1000):
        rows = [
            {"id": n, "customer": n % 997, "amount": Decimal(n) / 100, "name": f"customer {n}", "at": moment}
            for n in range(begin, begin + 1000)
        ]
        async with db.transaction() as tx:
            await tx.insert_many("payments", rows)
    assert await db.fetch_value("select count(*) from payments") == count, engine


async def ours(db: rdskit.Database, count: int) -> tuple[float, float]:
    """Return seconds on the wall clock and of CPU."""
    taken = 0
    wall, cpu = time.perf_counter(), time.process_time()
    async with changes(db, name="bench", tables=["payments"]) as stream:
        async for change in stream:
            taken += 1
            if taken == count:
                assert change.new.id == count - 1
                return time.perf_counter() - wall, time.process_time() - cpu
    raise AssertionError


def by_hand(url: str, count: int) -> tuple[float, float]:
    """Read the same slot with psycopg, and decode each column in a loop."""
    taken = 0
    wall, cpu = time.perf_counter(), time.process_time()
    with psycopg.connect(url, replication="database", autocommit=True) as connection:
        wire = connection.pgconn
        text = b"START_REPLICATION SLOT rdskit_bench LOGICAL 0/0 (proto_version '1', publication_names 'rdskit_bench')"
        wire.exec_(text)
        while taken < count:
            _, data = wire.get_copy_data(0)
            message = bytes(data or b"")[25:]
            if message[:1] != b"I":
                continue
            place, row = 8, []
            for read in READERS:
                (size,) = struct.unpack_from("!I", message, place + 1)
                row.append(read(message[place + 5 : place + 5 + size].decode()))
                place += 5 + size
            taken += 1
        wire.finish()
    return time.perf_counter() - wall, time.process_time() - cpu


def mysql_replication(server: Any, position: tuple[str, int], count: int) -> tuple[float, float]:
    """Read the same events with mysql-replication."""
    from pymysqlreplication import BinLogStreamReader  # type: ignore[import-not-found]
    from pymysqlreplication.row_event import WriteRowsEvent  # type: ignore[import-not-found]

    taken = 0
    wall, cpu = time.perf_counter(), time.process_time()
    settings = {"host": server.host, "port": server.port, "user": server.superuser, "passwd": server.password}
    reader = BinLogStreamReader(
        connection_settings=settings,
        server_id=987_654,
        only_events=[WriteRowsEvent],
        only_tables=["payments"],
        log_file=position[0],
        log_pos=position[1],
        resume_stream=True,
        blocking=True,
        is_mariadb="mariadb" in type(server).__name__.lower(),
    )
    for event in reader:
        taken += len(event.rows)
        if taken >= count:
            break
    reader.close()
    return time.perf_counter() - wall, time.process_time() - cpu


async def until(db: rdskit.Database, question: Callable[[list[Status]], bool]) -> None:
    """Wait until what the server says of the consumers is so."""
    while not question(await status(db)):  # noqa: ASYNC110 - another process's state
        await asyncio.sleep(0.01)


async def prepared(db: rdskit.Database, count: int, engine: str) -> tuple[str, int]:
    """Begin a consumer, write the rows behind its checkpoint, and return where the binary log was."""
    await db.execute(f"create table payments ({COLUMNS})")
    stream = changes(db, name="bench", tables=["payments"])
    begun = asyncio.ensure_future(anext(aiter(stream)))
    await until(db, lambda told: bool(told) and bool(told[0].position))
    begun.cancel()
    await asyncio.wait([begun])
    await stream.aclose()
    position = ("", 0)
    if engine != "postgresql":
        shown = "show binary log status" if engine == "mysql" else "show master status"
        row = await db.fetch_one(shown)
        assert row is not None
        position = (row[0], int(row[1]))
    await fill(db, engine, count)
    return position


async def engine_rows(engine: str, url: str, server: Any, count: int, rounds: int) -> list[Row]:
    """Measure one engine; the best of each contender's rounds counts."""
    taken: dict[str, list[tuple[float, float]]] = {}
    async with rdskit.connect(url, tls="off", max_size=2) as db:
        position = await prepared(db, count, engine)
        for _ in range(rounds):
            taken.setdefault("rdskit", []).append(await ours(db, count))
            await until(db, lambda told: not told[0].is_active)
            if engine == "postgresql":
                taken.setdefault("psycopg, by hand", []).append(by_hand(url, count))
            elif importlib.util.find_spec("pymysqlreplication"):
                taken.setdefault("mysql-replication", []).append(mysql_replication(server, position, count))
        await until(db, lambda told: not told[0].is_active)
        await drop(db, "bench")
    best = {name: (min(wall for wall, _ in each), min(cpu for _, cpu in each)) for name, each in taken.items()}
    return [Row(engine, name, count, count / wall, count / cpu) for name, (wall, cpu) in best.items()]


def run(engine: str, count: int, rounds: int) -> list[Row]:
    opened: dict[str, Callable[[Path], Any]] = {"mysql": throwaway_mysql, "mariadb": throwaway_mariadb}
    with tempfile.TemporaryDirectory(prefix="rdskit-bench-") as directory:
        path = Path(directory)
        postgres = engine == "postgresql"
        logical = {"wal_level": "logical"}
        with throwaway_postgres(path, settings=logical) if postgres else opened[engine](path) as server:
            harness.pin(server.pid)
            database = "postgres" if postgres else "bench"
            if not postgres:
                with server.connect() as session:
                    session.execute("create database bench")
            url = f"{engine}://{server.superuser}:{server.password}@{server.host}:{server.port}/{database}"
            return asyncio.run(engine_rows(engine, url, server, count, rounds))


def main() -> int:
    parser = harness.arguments(__doc__ or "")
    parser.set_defaults(rounds=3)
    parser.add_argument("--rows", type=int, default=ROWS, help="rows, in thousands (default: %(default)s)")
    parser.add_argument("--engine", choices=("postgresql", "mysql", "mariadb"), action="append", help="only this one")
    options = parser.parse_args()
    engines = options.engine or ["postgresql", "mysql", "mariadb"]
    rows = [row for engine in engines for row in run(engine, options.rows, options.rounds)]
    lines = [(f"{each.engine}, {each.name}", f"{each.per_second:,.0f}", f"{each.per_cpu_second:,.0f}") for each in rows]
    harness.print_table(("reader", "rows a second", "rows a CPU second"), lines)
    missed = [each for each in rows if each.name == "rdskit" and each.per_cpu_second < GATE]
    print(f"gate: at least {GATE:,} rows per second of CPU: {'missed' if missed else 'met'}")
    harness.write_json(options.json, {"gate": GATE, "met": not missed}, rows)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
