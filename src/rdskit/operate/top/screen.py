"""Take over the terminal for the live view, and restore it afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.live import Live

from rdskit.operate.top.keys import Look, pressed
from rdskit.operate.top.render import render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.operate.top.watch import Watch

_REDRAW_EVERY: Final = 0.5  # seconds, when nothing happens
_REDRAW_AT_MOST_EVERY: Final = 0.05  # seconds, when much happens
_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Screen:
    """Show a watch until the user quits.

    Args:
        watch: the watch.
        console: the terminal.
    """

    def __init__(self, watch: Watch, console: Console) -> None:
        self._watch = watch
        self._console = console
        self._look = Look(interval=watch.interval)
        self._frame = watch.frame()
        self._status = 0
        self._terminal = contextlib.ExitStack()
        self._live: Live

    async def run(self) -> int:
        """Show frames until a key or a signal ends it.

        Returns:
            The exit status: 0 after a key, 128 and the signal's number after a signal.
        """
        with self._signals(), self._terminal:
            self._take_terminal()
            while not self._look.ended:
                self._draw()
                await asyncio.sleep(_REDRAW_AT_MOST_EVERY)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_REDRAW_EVERY):
                        await self._watch.changed.wait()
                self._watch.changed.clear()
        return self._status

    def _draw(self) -> None:
        if not self._look.paused:
            self._frame = self._watch.frame()
        width, height = self._console.size
        self._live.update(Group(*render(self._frame, self._look, width, height)), refresh=True)

    # -- the terminal ----------------------------------------------------------------------------------------------

    def _take_terminal(self) -> None:
        """Set the terminal to single unechoed keys and an alternate screen, and register the undo of both."""
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        self._terminal.callback(termios.tcsetattr, descriptor, termios.TCSADRAIN, before)
        tty.setcbreak(descriptor, termios.TCSADRAIN)
        self._live = Live(
            console=self._console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._terminal.enter_context(self._live)
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, self._read_keys, descriptor)
        self._terminal.callback(loop.remove_reader, descriptor)

    def _read_keys(self, descriptor: int) -> None:
        self._look = pressed(self._look, os.read(descriptor, 64).decode(errors="ignore"))
        self._watch.interval = self._look.interval
        self._watch.changed.set()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in _ENDINGS:
            loop.add_signal_handler(number, self._end, number)
        loop.add_signal_handler(signal.SIGWINCH, self._watch.changed.set)
        loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        try:
            yield
        finally:
            for number in (*_ENDINGS, signal.SIGWINCH, signal.SIGTSTP):
                loop.remove_signal_handler(number)

    def _end(self, number: signal.Signals) -> None:
        self._look = pressed(self._look, "q")
        self._status = 128 + number
        self._watch.changed.set()

    def _suspend(self) -> None:
        """Handle Ctrl-Z: restore the terminal for the shell, stop, and take it over again after ``fg``."""
        self._terminal.close()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take_terminal()
        self._watch.changed.set()
