"""A consumer as a process of its own, to be killed: copies table ``items`` into ``copied``, and notes each transaction.

Argument: the database's URL.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import rdskit
from rdskit.stream import changes

if TYPE_CHECKING:
    from rdskit.stream import Change


async def apply(tx: Any, change: Change) -> None:
    for row in (change.old, change.new):
        if row is not None:
            await tx.execute("delete from copied where id = :id", id=row["id"])
    if change.kind == "truncate":
        await tx.execute("delete from copied")
    if change.new is not None and change.kind != "delete":
        await tx.execute("insert into copied values (:id, :n)", id=change.new["id"], n=change.new["n"])


async def follow(sink: rdskit.Database, source: rdskit.Database) -> None:
    """Copy until cancelled."""
    batch: list[Change] = []
    async for change in changes(source, name="copy", tables=["items"], start="snapshot", heartbeat=0.5):
        batch.append(change)
        if change.is_last:
            async with sink.transaction() as tx:
                rows = [each.new for each in batch if each.kind == "read" and each.new is not None]
                if rows:
                    await tx.execute("delete from copied where id in :ids", ids=[row["id"] for row in rows])
                    await tx.insert_many("copied", [dict(row.items()) for row in rows])
                for each in batch:
                    if each.kind != "read":
                        await apply(tx, each)
                if change.transaction:
                    await tx.execute("insert into followed values (:number)", number=change.transaction)
            await change.done()
            batch.clear()


async def main(url: str) -> None:
    async with rdskit.connect(url, tls="off", max_size=2) as db:
        await follow(db, db)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
