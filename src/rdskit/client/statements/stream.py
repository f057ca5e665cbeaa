"""Stream the rows of a query in batches from a cursor on the server."""

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
    """Refuse a statement that cannot be streamed.

    Raises:
        ConfigError: the statement returns no rows, or the batch size is less than one.
    """
    if not statement.returns_rows:
        raise ConfigError(f"{statement.source.strip()[:60]!r} returns no rows to stream: use execute")
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
        text: the statement's text for the driver.
        args: its arguments.
        batch: rows fetched and kept in memory at a time.
        due: returns the deadline of the next round trip, on the loop's clock.
        ended: whether the transaction has ended, so that the connection may belong to another caller.

    Raises:
        DriverError: the server refused it, or was lost.
    """
    cursor = await lease.run(lease.connection.open_cursor(text, args, None), due())
    full, reader = True, asyncio.current_task()
    try:
        while full:
            until = due()  # may raise: call it before the coroutine exists, which would never be awaited
            rows = await lease.run(cursor.fetch(batch, None), until)
            full = len(rows) == batch
            if rows:
                yield rows
                reader = asyncio.current_task()
    except GeneratorExit:
        # The event loop closes an abandoned generator in a task of its own, while its former reader may be using the
        # connection. Do not touch the connection then: the reset of a dirty session closes the cursor as well.
        if asyncio.current_task() is reader and not ended():
            await lease.run(cursor.close(None), due())
        else:
            lease.dirty = True
        raise
    await lease.run(cursor.close(None), due())
