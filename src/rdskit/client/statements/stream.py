"""Rows that are read while they are used, from a cursor on the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_whole

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from rdskit.client.pool import Lease
    from rdskit.kernel.ports import Row
    from rdskit.kernel.sql import Statement


def require_stream(statement: Statement, batch: int) -> None:
    """Refuse what cannot be streamed.

    Raises:
        ConfigError: the statement gives no rows, or the batch is empty.
    """
    if not statement.returns_rows:
        raise ConfigError(f"{statement.source.strip()[:60]!r} gives no rows to stream: use execute")
    require_whole("batch", batch, least=1)


async def stream(
    lease: Lease,
    text: str,
    args: Sequence[Any],
    batch: int,
    due: Callable[[], float],
    ended: Callable[[], bool] = lambda: False,
) -> AsyncGenerator[Sequence[Row], None]:
    """Read a query in batches, in the open transaction of a connection.

    Args:
        lease: the connection.
        text: what the driver is given.
        args: its arguments.
        batch: rows fetched at a time, which is what is kept in memory.
        due: gives the moment when the next round trip must have ended, on the loop's clock.
        ended: whether the transaction is over, and the connection perhaps somebody else's.

    Raises:
        DriverError: the server refused it, or was lost.
    """
    cursor = await lease.run(lease.connection.open_cursor(text, args, None), due())
    full, reader = True, asyncio.current_task()
    try:
        while full:
            until = due()  # before there is a call that nobody would await
            rows = await lease.run(cursor.fetch(batch, None), until)
            full = len(rows) == batch
            if rows:
                yield rows
                reader = asyncio.current_task()
    except GeneratorExit:
        # A generator that nobody holds any more is closed by a task of the event loop's, beside whatever the reader
        # does by then on the same connection. The reset that a dirty session gets closes the cursor as well.
        if asyncio.current_task() is reader and not ended():
            await lease.run(cursor.close(None), due())
        else:
            lease.dirty = True
        raise
    await lease.run(cursor.close(None), due())
