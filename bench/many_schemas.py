"""A deployment that changes nothing, over many schemas: all asked together, beside one after the other.

Usage: python bench/many_schemas.py [--schemas N] [--rounds N] [--json FILE]

Each schema of one PostgreSQL database has the history of ten migrations. ``migrations.apply`` asks all of them
together; the baseline calls ``migrations.up`` for each in turn, as tools do that know one schema at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

import rdskit
from rdskit.evolve import migrations
from rdskit.local.engines.postgres.throwaway import throwaway_postgres

FILES = 10


def write_files(directory: Path) -> None:
    """Write migrations that each make a table."""
    for number in range(FILES):
        path = directory / f"20260101_{number:04}_table{number}.sql"
        path.write_text(f"-- up\ncreate table t{number} (id int);\n\n-- down\ndrop table t{number};\n")


async def fill(db: rdskit.Database, directory: Path, count: int) -> list[migrations.Target]:
    """Migrate one schema, and give the others its tables of history."""
    names = [f"tenant_{number}" for number in range(count)]
    async with db.connection() as connection:
        for name in names:
            await connection.execute(f"create schema {name}")
    await migrations.apply(migrations.in_schemas(db, names[:1]), directory)
    async with db.connection() as connection:
        for name in names[1:]:
            for table in ("rdskit_migration", "rdskit_journal", "rdskit_step"):
                await connection.execute(f"create table {name}.{table} (like tenant_0.{table} including all)")
            await connection.execute(f"insert into {name}.rdskit_migration select * from tenant_0.rdskit_migration")
    return migrations.in_schemas(db, names)


async def measure(url: str, directory: Path, count: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return the seconds of each round, together and one after the other."""
    together, in_turn = [], []
    async with rdskit.connect(url, tls="off", min_size=0, max_size=9, readers="off") as db:
        targets = await fill(db, directory, count)
        for _ in range(rounds):
            begun = time.perf_counter()
            assert await migrations.apply(targets, directory) is None
            together.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            for target in targets:
                assert await migrations.up(target.view, directory) == []
            in_turn.append(time.perf_counter() - begun)
    return together, in_turn


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schemas", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as files, tempfile.TemporaryDirectory() as data:
        write_files(Path(files))
        with throwaway_postgres(Path(data)) as server:
            url = server.dsn.partition("?")[0]
            together, in_turn = asyncio.run(measure(url, Path(files), options.schemas, options.rounds))
    ratio = statistics.median(one / all_ for one, all_ in zip(in_turn, together, strict=True))
    print(f"{options.schemas} schemas, nothing to do, {options.rounds} rounds")
    print(f"together              {statistics.median(together):8.2f} s")
    print(f"one after the other   {statistics.median(in_turn):8.2f} s")
    print(f"ratio                 {ratio:8.1f}")
    if options.json:
        figures = {"schemas": options.schemas, "together": together, "in_turn": in_turn, "ratio": ratio}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
