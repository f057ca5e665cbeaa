"""One event loop in a thread of its own, for callers without one, and what passes between the two threads."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import queue
import threading
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rdskit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Generator

T = TypeVar("T")
_PORTION: Final = 2048
"""Items that change threads together."""


class Background:
    """The background loop of this process, started when first needed; a forked child gets one of its own."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: int | None = None
        self._parents: list[asyncio.AbstractEventLoop | None] = []
        os.register_at_fork(after_in_child=self._forget)

    @property
    def is_here(self) -> bool:
        """Whether this is the loop's own thread, which must never wait for what the loop does."""
        return threading.get_ident() == self._thread

    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop, for another thread that is about to wait for it.

        Raises:
            ConfigError: this is the loop's own thread.
        """
        if self.is_here:
            raise ConfigError(
                "rdskit.sync was used on its own background thread, as by an observer or a credentials object: that "
                "thread cannot wait for itself; hand the work to another thread, or use the asynchronous rdskit there"
            )
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                thread = threading.Thread(target=self._loop.run_forever, name="rdskit", daemon=True)
                thread.start()
                self._thread = thread.ident
            return self._loop

    def _forget(self) -> None:
        self._parents.append(self._loop)  # never collected: that would close what the parent still uses
        self._loop = self._thread = None
        self._starting = threading.Lock()  # another thread of the parent may have held the old one


background = Background()


def wait(work: Coroutine[Any, Any, T]) -> T:
    """Run on the background loop and wait; Ctrl-C ends the work too, not only the waiting.

    Raises:
        ConfigError: this is the loop's own thread.
    """
    try:
        loop = background.loop()
    except BaseException:
        work.close()
        raise
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


class Handed:
    """Rows that the background loop asks for, and the caller's thread reads."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self._rows = iter(rows)
        self.turns: queue.SimpleQueue[asyncio.Future[list[Any]] | None] = queue.SimpleQueue()

    async def __aiter__(self) -> AsyncIterator[Any]:
        while portion := await self._asked():
            for row in portion:
                yield row

    async def _asked(self) -> list[Any]:
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.turns.put(answer)
        return await answer

    def portion(self) -> list[Any]:
        """Read the next rows; none mean the end."""
        return list(itertools.islice(self._rows, _PORTION))


def send_from_here(rows: Iterable[Any] | AsyncIterable[Any], send: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """Send rows; what has to be made first is made in this thread, so that the loop never waits for it."""
    if isinstance(rows, Collection) or not isinstance(rows, Iterable):
        return wait(send(rows))
    fed, loop = Handed(rows), background.loop()
    future = asyncio.run_coroutine_threadsafe(send(fed), loop)
    future.add_done_callback(lambda _: fed.turns.put(None))
    try:
        while (answer := fed.turns.get()) is not None:
            take_turn(loop, answer, fed.portion)
        return future.result()
    except BaseException:
        future.cancel()
        raise


def iterate(made: Callable[[], AsyncGenerator[T, None]], batch: int) -> Generator[T, None, None]:
    """Iterate over what the background loop makes, a batch at a time: each change of thread costs."""
    rows = wait(_called(made))
    try:
        while portion := wait(_taken(rows, batch)):
            yield from portion
    finally:
        if background.is_here:  # the garbage collector runs wherever it is its turn
            closing = asyncio.get_running_loop().create_task(_closed(rows))
            _closing.add(closing)
            closing.add_done_callback(_closing.discard)
        else:
            wait(rows.aclose())


_closing: Final[set[asyncio.Task[None]]] = set()
"""A loop keeps no task from being collected."""


async def _closed(rows: AsyncGenerator[Any, None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop closes it already: it was collected together with its reader
        await rows.aclose()


async def _called(made: Callable[[], T]) -> T:
    return made()


async def _taken(rows: AsyncGenerator[T, None], most: int) -> list[T]:
    taken: list[T] = []
    async for row in rows:
        taken.append(row)
        if len(taken) == most:
            break
    return taken


def take_turn(loop: asyncio.AbstractEventLoop, answer: asyncio.Future[T], closure: Callable[[], T]) -> None:
    """Run the closure in this thread and hand its result to the waiting attempt."""
    try:
        result = closure()
    except StopIteration as error:  # which no future takes, and no coroutine can raise
        told = RuntimeError("the function raised StopIteration")
        told.__cause__ = error
        loop.call_soon_threadsafe(settle, answer, None, told)
    except Exception as error:  # noqa: BLE001 - carried to the attempt, which decides whether to repeat
        loop.call_soon_threadsafe(settle, answer, None, error)
    else:
        loop.call_soon_threadsafe(settle, answer, result, None)


def settle(answer: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    """Answer on the loop, unless nobody waits any more."""
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)
