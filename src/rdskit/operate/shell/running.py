"""Run statements one by one, and let Ctrl-C cancel the running one."""

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


_CANCEL_TIMEOUT: Final = 2.0  # seconds to wait for a cancel request after its statement has ended


class GivenUpError(Exception):
    """The user interrupted a second time, before the server had cancelled the statement."""


async def interruptible(
    session: ShellSession, call: Coroutine[Any, Any, Answer], say: Callable[[str], None], *, stops: bool = False
) -> Answer:
    """Run a statement; the first Ctrl-C asks the server to cancel it, the second one abandons the session.

    Args:
        session: the session.
        call: the call that runs it.
        say: called with each notice for the user.
        stops: whether Ctrl-C also skips later statements, even if this one completes.

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
            say(f"the cancel request failed ({error}); Ctrl-C once more abandons the session")

    def interrupt() -> None:
        if requests:
            task.cancel()
            return
        say("canceling; Ctrl-C once more abandons the session")
        requests.add(asyncio.get_running_loop().create_task(cancel()))

    with _on_interrupt(interrupt):
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()  # has no effect on a finished task
            await _finished(requests)
    if requests and (stops or task.cancelled()):
        with contextlib.suppress(
            asyncio.CancelledError, RdskitError
        ):  # MySQL's sleep() returns a row when it is cancelled
            task.result()
        raise GivenUpError
    return task.result()


async def _finished(requests: set[asyncio.Task[None]]) -> None:
    """Wait for cancel requests to end: cancelling one would cost the pool a connection."""
    if requests:
        await asyncio.wait(requests, timeout=_CANCEL_TIMEOUT)
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
        signal.signal(signal.SIGINT, before)  # asyncio's own handler, which remove_signal_handler does not restore
