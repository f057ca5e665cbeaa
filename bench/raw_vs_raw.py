"""What any ratio on this machine is worth: two plain asyncpg connections against each other, pinned and not.

Both do exactly the same, so the true ratio is 1. Exit status 1 if the pinned run does not say so.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import asyncpg

import harness
from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres, throwaway_postgres

QUERY = "select id, name, email from users where id = $1"
SETUP = """
create table users (id int primary key, name text not null, email text not null);
insert into users select n, 'name ' || n, 'user' || n || '@example.com' from generate_series(1, 1000) n;
vacuum analyze users
"""


async def fill(dsn: str) -> None:
    """Make the table that every query here reads."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in SETUP.split(";"):
            await connection.execute(statement)
    finally:
        await connection.close()


def raw(runner: asyncio.Runner, connection: asyncpg.Connection, name: str) -> harness.Contender:
    """One plain connection."""
    return harness.async_contender(runner, name, lambda: connection.fetchrow(QUERY, 7))


def measure(server: ThrowawayPostgres, effort: harness.Effort, name: str) -> harness.Comparison:
    """Compare two new connections."""
    with asyncio.Runner() as runner:
        first, second = (runner.run(_connect(server.dsn)) for _ in range(2))
        try:
            return harness.compare(raw(runner, first, "asyncpg"), raw(runner, second, name), effort)
        finally:
            runner.run(first.close())
            runner.run(second.close())


async def _connect(dsn: str) -> asyncpg.Connection:
    return await asyncpg.connect(dsn)


def main() -> int:
    """Measure, print, and say whether figures from here can be trusted."""
    options = harness.arguments(__doc__ or "").parse_args()
    effort = harness.Effort(options.calls, options.rounds)
    with tempfile.TemporaryDirectory() as directory, throwaway_postgres(Path(directory)) as server:
        asyncio.run(fill(server.dsn))
        anywhere = measure(server, effort, "not pinned")
        pinned = harness.pin(server.pid, one_cpu=options.one_cpu)
        fixed = measure(server, effort, "pinned" if pinned else "too few CPUs to pin")
    rows = [anywhere, fixed]
    harness.print_table(
        ("asyncpg against asyncpg", "µs", "ratio", "quartiles"),
        [(row.name, f"{row.microseconds:.1f}", f"{row.ratio:.3f}", f"{row.low:.2f}..{row.high:.2f}") for row in rows],
    )
    valid = pinned and harness.is_valid(fixed.ratio)
    print("pinned runs are valid here" if valid else harness.NOT_VALID)
    harness.write_json(options.json, {"valid": valid, "pinned": pinned}, rows)
    return 0 if valid else 1


if __name__ == "__main__":
    sys.exit(main())
