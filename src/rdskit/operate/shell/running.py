"""Statements one after the other, with Ctrl-C for the one that runs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any, Final

from rdskit.errors import RdskitError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from rdskit.operate.shell.model import Answer
    from rdskit.operate.shell.session import ShellSession


_PATIENCE: Final = 2.0  # seconds for a request to cancel whose statement has ended


class GivenUpError(Exception):
    """The person at the prompt did not wait for the server to cancel a statement."""


async def interruptible(
    session: ShellSession, call: Coroutine[Any, Any, Answer], say: Callable[[str], None], *, stops: bool = False
) -> Answer:
    """Run a statement; the first Ctrl-C has the server cancel it, the second one gives the session up.

    Args:
        session: where it runs.
        call: runs it.
        say: called with each notice for the person at the prompt.
        stops: whether Ctrl-C ends what comes after the statement as well, whatever the server makes of it.

    Raises:
        RdskitError: the statement failed, or was canceled.
        GivenUpError: after a second Ctrl-C, or the first one where that stops everything.
    """
    task = asyncio.get_running_loop().create_task(call)
    requests: set[asyncio.Task[None]] = set()

    async def cancel() -> None:
        try:
            await session.cancel()
        except RdskitError as error:
            say(f"the server cannot be asked to cancel it ({error}); Ctrl-C once more gives the session up")

    def interrupt() -> None:
        if requests:
            task.cancel()
            return
        say("canceling; Ctrl-C once more gives the session up")
        requests.add(asyncio.get_running_loop().create_task(cancel()))

    with _on_interrupt(interrupt):
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()  # of no effect on one that has ended
            await _finished(requests)
    if requests and (stops or task.cancelled()):
        with contextlib.suppress(asyncio.CancelledError, RdskitError):  # sleep() of MySQL even answers with a row
            task.result()
        raise GivenUpError
    return task.result()


async def _finished(requests: set[asyncio.Task[None]]) -> None:
    """Wait for requests to cancel: cut off, they would cost the pool a connection."""
    if requests:
        await asyncio.wait(requests, timeout=_PATIENCE)
        for request in requests:
            request.cancel()


@contextlib.contextmanager
def _on_interrupt(call: Callable[[], None]) -> Iterator[None]:
    loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, call)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)  # asyncio's own, which removing ours does not bring back
