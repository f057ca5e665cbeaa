"""Hold an async context manager open on the background loop while a synchronous thread runs the block's body."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from typing import TYPE_CHECKING, TypeVar

from rdskit.runtime.background import background, settle, wait

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class _RollBack(Exception):  # noqa: N818 - a signal between two threads
    """The caller's block raised: roll back. This exception never leaves the module."""


@contextlib.contextmanager
def held_open(block: contextlib.AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Hold an async block open while the caller's thread runs the body.

    The block enters and exits in one task, because timeouts and cancel scopes require it.
    """
    entered: queue.SimpleQueue[list[T]] = queue.SimpleQueue()
    leave: asyncio.Future[bool] = wait(_new_future())

    async def hold() -> None:
        try:
            async with block as inside:
                entered.put([inside])
                _raise_unless_well(well=await leave)
        except _RollBack:
            return
        finally:
            entered.put([])  # wakes a caller whose block never opened

    loop = background.loop()
    holding = asyncio.run_coroutine_threadsafe(hold(), loop)
    try:
        inside = entered.get()
        if not inside:
            holding.result()
            assert inside, "the block ended before it began, and raised nothing"
        try:
            yield inside[0]
        except BaseException:
            loop.call_soon_threadsafe(settle, leave, False, None)
            # In the loop's own thread waiting would deadlock: the garbage collector may finalize a block there.
            if not background.is_here:
                holding.result()
            raise
        loop.call_soon_threadsafe(settle, leave, True, None)
        holding.result()
    except BaseException:
        holding.cancel()  # Ctrl-C during one of the waits above must not leave the block open; otherwise a no-op
        raise


def _raise_unless_well(*, well: bool) -> None:
    if not well:
        raise _RollBack


async def _new_future() -> asyncio.Future[bool]:
    return asyncio.get_running_loop().create_future()
