"""Run one event loop in a background thread for synchronous callers, and pass results and rows between the threads."""

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
_BATCH_ROWS: Final = 2048
"""Rows that are passed to the other thread together."""


class Background:
    """The process's background event loop, started at first use; a forked child starts its own."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: int | None = None
        self._parents: list[asyncio.AbstractEventLoop | None] = []
        os.register_at_fork(after_in_child=self._reset_in_child)

    @property
    def is_here(self) -> bool:
        """Whether this is the loop's own thread, which must never wait for the loop."""
        return threading.get_ident() == self._thread

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, for another thread that waits for its work.

        Raises:
            ConfigError: this is the loop's own thread.
        """
        if self.is_here:
            raise ConfigError(
                "rdskit.sync was used on its own background thread, as by an observer or a credentials object: that "
                "thread cannot wait for itself; run the work in another thread, or use the asynchronous rdskit there"
            )
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                thread = threading.Thread(target=self._loop.run_forever, name="rdskit", daemon=True)
                thread.start()
                self._thread = thread.ident
            return self._loop

    def _reset_in_child(self) -> None:
        self._parents.append(self._loop)  # keep it referenced: collecting it would close sockets that the parent uses
        self._loop = self._thread = None
        self._starting = threading.Lock()  # another thread of the parent may hold the old one during the fork


background = Background()


def wait(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the background loop and wait for it; Ctrl-C cancels it too.

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


class ThreadRows:
    """Async iterable whose rows the caller's thread reads when the background loop requests them."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self._rows = iter(rows)
        self.requests: queue.SimpleQueue[asyncio.Future[list[Any]] | None] = queue.SimpleQueue()

    async def __aiter__(self) -> AsyncIterator[Any]:
        while batch := await self._request():
            for row in batch:
                yield row

    async def _request(self) -> list[Any]:
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.requests.put(answer)
        return await answer

    def batch(self) -> list[Any]:
        """Read the next rows; an empty list means the end."""
        return list(itertools.islice(self._rows, _BATCH_ROWS))


def send_from_here(rows: Iterable[Any] | AsyncIterable[Any], send: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """Send rows on the background loop, and wait.

    An iterator is read in this thread, so that the application's generator never blocks the loop.
    """
    if isinstance(rows, Collection) or not isinstance(rows, Iterable):
        return wait(send(rows))
    rows_here, loop = ThreadRows(rows), background.loop()
    future = asyncio.run_coroutine_threadsafe(send(rows_here), loop)
    future.add_done_callback(lambda _: rows_here.requests.put(None))
    try:
        while (answer := rows_here.requests.get()) is not None:
            run_and_settle(loop, answer, rows_here.batch)
        return future.result()
    except BaseException:
        future.cancel()
        raise


def iterate(made: Callable[[], AsyncGenerator[T, None]], batch: int) -> Generator[T, None, None]:
    """Iterate over an async generator of the background loop, in batches, because each change of thread costs time."""
    rows = wait(_called(made))
    try:
        while taken := wait(_taken(rows, batch)):
            yield from taken
    finally:
        if background.is_here:  # the garbage collector may finalize this generator in any thread, also in the loop's
            closing = asyncio.get_running_loop().create_task(_closed(rows))
            _closing.add(closing)
            closing.add_done_callback(_closing.discard)
        else:
            wait(rows.aclose())


_closing: Final[set[asyncio.Task[None]]] = set()
"""Strong references: an event loop itself keeps only weak ones to its tasks."""


async def _closed(rows: AsyncGenerator[Any, None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop's own hook is closing it: both were collected together
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


def run_and_settle(loop: asyncio.AbstractEventLoop, answer: asyncio.Future[T], closure: Callable[[], T]) -> None:
    """Run the closure in this thread, and set its result or error on the future of the waiting attempt."""
    try:
        result = closure()
    except StopIteration as error:  # Future.set_exception refuses StopIteration, and no coroutine can raise it
        wrapped = RuntimeError("the function raised StopIteration")
        wrapped.__cause__ = error
        loop.call_soon_threadsafe(settle, answer, None, wrapped)
    except Exception as error:  # noqa: BLE001 - carried to the attempt, which decides whether to repeat
        loop.call_soon_threadsafe(settle, answer, None, error)
    else:
        loop.call_soon_threadsafe(settle, answer, result, None)


def settle(answer: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    """Set a future's result or error on its loop, unless it is done or cancelled."""
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)
