"""Notify observers of bulk calls and streams when they end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from rdskit.kernel.events import BulkFinished, StreamFinished

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

    from rdskit.kernel.ports import Result
    from rdskit.runtime.observers import Observers


async def observe_bulk(observers: Observers, method: str, subject: str, call: Coroutine[Any, Any, Result]) -> Result:
    """Await a bulk call, and notify the observers of its result.

    Args:
        observers: the observers.
        method: ``insert_many`` or ``execute_many``.
        subject: the table, or the statement.
        call: the call.
    """
    if not observers:
        return await call
    clock = asyncio.get_running_loop().time
    started, rows, error = clock(), None, None
    try:
        result = await call
    except BaseException as failed:
        error = type(failed).__name__
        raise
    else:
        rows = int(result)
        return result
    finally:
        observers.notify(BulkFinished(method, subject, rows, clock() - started, error))


async def observe_stream(
    observers: Observers, sql: str, stream: AsyncGenerator[Any, None]
) -> AsyncGenerator[Any, None]:
    """Yield the rows of a stream, and notify the observers at its end; leaving it early is no error."""
    clock = asyncio.get_running_loop().time
    started, rows, error = clock(), 0, None
    try:
        async with contextlib.aclosing(stream):
            async for row in stream:
                rows += 1
                yield row
    except GeneratorExit:
        raise
    except BaseException as failed:
        error = type(failed).__name__
        raise
    finally:
        observers.notify(StreamFinished(sql, rows, clock() - started, error))
