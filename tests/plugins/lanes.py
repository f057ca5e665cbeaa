"""Databases whose reads go through pipelined connections, without waiting for enough load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    import rdskit
    from rdskit.client.pool import Lanes

SECONDS = 30.0


def lanes_of(db: rdskit.Database) -> Lanes:
    """Return the pipelined connections beside the writer's pool."""
    lanes = db.context.shared.cluster.writer.lanes
    assert lanes is not None
    return lanes


async def pipelined(db: rdskit.Database, sql: str, /, **params: Any) -> Any:
    """Run a read until a pipelined connection has answered it, and give that answer."""
    lanes, text = lanes_of(db), db.context.shared.statements[sql].text
    answer: Any = None

    async def answered() -> bool:
        nonlocal answer
        await db.fetch_all(sql, params)
        lanes.hot, before = True, lanes.stats()
        standing = lanes.standings.of(text)
        answer = await db.fetch_all(sql, params)
        now = lanes.stats()
        return standing.barred or now.answered > before.answered or now.sent_to_pool > before.sent_to_pool

    await eventually(answered, SECONDS)
    return answer
