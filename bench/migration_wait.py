"""What a migration of a busy table costs its writers: the longest wait of a statement, beside a plain ALTER TABLE.

Usage: python bench/migration_wait.py [--rounds N] [--lock-timeout S] [--hold S] [--json FILE]

Four tasks update a table all the time. A transaction that has read the table stays open for ``--hold`` seconds; in
the meantime a migration begins that adds a column. ``migrations.up`` may let no statement wait longer than its lock
timeout and 100 ms; the plain statement makes all of them wait until the transaction ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rdskit
from rdskit.evolve import migrations
from rdskit.local.engines.mysql.throwaway import throwaway_mariadb, throwaway_mysql
from rdskit.local.engines.postgres.throwaway import throwaway_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

WRITERS = 4
GATE = 0.1  # seconds above the lock timeout
SERVERS: dict[str, Callable[[Path], Any]] = {
    "postgresql": throwaway_postgres,
    "mariadb": throwaway_mariadb,
    "mysql": throwaway_mysql,
}
TABLE = "20260101_0000_table.sql"
COLUMN = "20260101_0001_column.sql"


def write_files(directory: Path) -> None:
    """Write the two migrations."""
    table = "create table busy (id int primary key, n int not null);\ninsert into busy values (1, 0), (2, 0);\n"
    (directory / TABLE).write_text(f"-- up\n{table}")
    column = "alter table busy add column more int;\n\n-- down\nalter table busy drop column more;\n"
    (directory / COLUMN).write_text(f"-- up\n{column}")


async def longest_wait(url: str, hold: float, change: Callable[[rdskit.Database], Coroutine[Any, Any, None]]) -> float:
    """Return the seconds of the slowest update while a change waits for a transaction that is open for ``hold``."""
    waits: list[float] = []
    ended = False
    async with (
        rdskit.connect(url, tls="off", min_size=0, max_size=WRITERS + 6, readers="off") as db,
        asyncio.TaskGroup() as tasks,
    ):

        async def write() -> None:
            while not ended:
                begun = time.perf_counter()
                await db.execute("update busy set n = n + 1 where id = 1")
                waits.append(time.perf_counter() - begun)
                await asyncio.sleep(0.005)

        async with db.transaction(isolation="repeatable read", timeout=None) as reader:
            await reader.fetch_all("select * from busy where id = 2")
            for _ in range(WRITERS):
                tasks.create_task(write())
            await asyncio.sleep(0.5)
            changing = tasks.create_task(change(db))
            await asyncio.sleep(hold)
        await changing
        ended = True
    return max(waits)


async def measure(url: str, directory: Path, rounds: int, lock_timeout: float, hold: float) -> dict[str, list[float]]:
    """Return the longest waits of each round, in seconds: ours and the plain statement's."""
    settings = migrations.Settings(lock_timeout=lock_timeout)
    ours, plain = [], []

    async def migrate(db: rdskit.Database) -> None:
        await migrations.up(db, directory, settings=settings)

    async def alter(db: rdskit.Database) -> None:
        async with db.connection() as connection:
            await connection.execute("alter table busy add column more int", timeout=None)

    async with rdskit.connect(url, tls="off", min_size=0, max_size=5, readers="off") as db:
        await migrations.up(db, directory, to=TABLE.removesuffix(".sql"))
        for _ in range(rounds):
            ours.append(await longest_wait(url, hold, migrate))
            await migrations.down(db, directory)
            plain.append(await longest_wait(url, hold, alter))
            await db.execute("alter table busy drop column more")
    return {"rdskit": ours, "ALTER TABLE": plain}


def main() -> int:
    """Measure each engine and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lock-timeout", type=float, default=1.0, metavar="S", help="MySQL knows whole seconds only")
    parser.add_argument("--hold", type=float, default=4.0, metavar="S")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    figures: dict[str, dict[str, list[float]]] = {}
    for engine, throwaway in SERVERS.items():
        with (
            tempfile.TemporaryDirectory(prefix="rdskit-bench-") as data,
            tempfile.TemporaryDirectory() as files,
            throwaway(Path(data)) as server,
        ):
            write_files(Path(files))
            with server.connect() as session:
                session.execute("create database bench")
            url = f"{engine}://{server.superuser}:{server.password}@{server.host}:{server.port}/bench"
            work = measure(url, Path(files), options.rounds, options.lock_timeout, options.hold)
            figures[engine] = asyncio.run(work)
    missed = False
    print(f"longest wait of an update, ms; lock timeout {options.lock_timeout:g} s, transaction of {options.hold:g} s")
    for engine, found in figures.items():
        for name, waits in found.items():
            print(f"{engine:12}{name:14}" + "".join(f"{wait * 1000:8.0f}" for wait in waits))
        missed = missed or max(found["rdskit"]) > options.lock_timeout + GATE
    print(f"gate: lock timeout + {GATE * 1000:.0f} ms: {'missed' if missed else 'met'}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
