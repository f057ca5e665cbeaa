"""How many messages one relay delivers in a second, on each engine, ordered and not, beside a loop with one at a time.

The outbox is filled first; the handler only counts. The peer is what applications write by hand: select one message
with SKIP LOCKED, hand it over, delete it, commit.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
import rdskit
from rdskit.local.engines.mysql.throwaway import throwaway_mariadb, throwaway_mysql
from rdskit.local.engines.postgres.throwaway import throwaway_postgres
from rdskit.outbox import Message, Relay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

MESSAGES = 20_000
GATE = 5_000
SERVERS: dict[str, Callable[[Path], Any]] = {
    "postgresql": throwaway_postgres,
    "mariadb": throwaway_mariadb,
    "mysql": throwaway_mysql,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    engine: str
    name: str
    messages: int
    per_second: float


def messages(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        payload = f'{{"order": {number}, "customer": "customer {number % 997}", "amount": 12.5}}'
        yield {"topic": "order.placed", "message_key": str(number % 997), "payload": payload, "headers": "{}"}


async def measure(db: rdskit.Database, count: int, deliver: Callable[[list[int]], Awaitable[None]]) -> float:
    """Fill the outbox, empty it, and give messages a second; every message must have come once."""
    await db.insert_many("rdskit_outbox", messages(count))
    heard: list[int] = []
    started = time.perf_counter()
    await deliver(heard)
    seconds = time.perf_counter() - started
    assert len(heard) == len(set(heard)) == count, f"{len(heard)} of {count} messages"
    return count / seconds


async def relay(db: rdskit.Database, heard: list[int], *, ordered: bool) -> None:
    async def handler(message: Message) -> None:
        heard.append(message.id)

    one = Relay(db, handler, ordered=ordered)
    while await one.deliver() or await db.fetch_value("select exists (select 1 from rdskit_outbox)"):
        continue


async def by_hand(db: rdskit.Database, heard: list[int], count: int) -> None:
    select = "select id, payload from rdskit_outbox order by id limit 1 for update skip locked"
    while len(heard) < count:
        async with db.transaction() as tx:
            row = await tx.fetch_one(select)
            assert row is not None, "the outbox is empty too early"
            heard.append(row.id)
            await tx.execute("delete from rdskit_outbox where id = :id", id=row.id)


async def engine_rows(engine: str, url: str, count: int) -> list[Row]:
    async with rdskit.connect(url, tls="off", max_size=2) as db:
        await db.setup()
        few = max(1, count // 10)
        return [
            Row(engine, "ordered", count, await measure(db, count, lambda heard: relay(db, heard, ordered=True))),
            Row(engine, "unordered", count, await measure(db, count, lambda heard: relay(db, heard, ordered=False))),
            Row(engine, "one at a time", few, await measure(db, few, lambda heard: by_hand(db, heard, few))),
        ]


def run(engine: str, count: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="rdskit-bench-") as directory, SERVERS[engine](Path(directory)) as server:
        harness.pin(server.pid)
        database = "postgres"
        if engine != "postgresql":
            database = "bench"
            with server.connect() as session:
                session.execute("create database bench")
        url = f"{engine}://{server.superuser}:{server.password}@{server.host}:{server.port}/{database}"
        return asyncio.run(engine_rows(engine, url, count))


def main() -> int:
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--messages", type=int, default=MESSAGES, help="messages (default: %(default)s)")
    parser.add_argument("--engine", choices=tuple(SERVERS), action="append", help="only this one; may be repeated")
    options = parser.parse_args()
    rows = [row for engine in options.engine or SERVERS for row in run(engine, options.messages)]
    headings = ("relay", "messages", "a second")
    lines = [(f"{row.engine}, {row.name}", str(row.messages), f"{row.per_second:,.0f}") for row in rows]
    harness.print_table(headings, lines)
    slow = [row for row in rows if row.name != "one at a time" and row.per_second < GATE]
    print(f"gate: at least {GATE:,} messages a second: {'missed' if slow else 'met'}")
    harness.write_json(options.json, {"gate": GATE, "met": not slow}, rows)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
