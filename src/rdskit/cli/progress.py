"""Show a plan in the terminal: its steps before they run, and their progress."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from rdskit.plans import StepState, Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

    from rdskit.plans import Progress as Report

_MARKS = {
    StepState.PENDING: " ",
    StepState.STARTED: "…",
    StepState.DONE: "✓",
    StepState.FAILED: "✗",
    StepState.UNKNOWN: "?",
    StepState.UNDOING: "…",
    StepState.UNDONE: "↶",
}


def mark(state: StepState) -> str:
    """Return the sign that stands before a step in this state."""
    return _MARKS[state]


@contextlib.contextmanager
def shown(console: Console, steps: Sequence[str]) -> Iterator[Callable[[Report], None]]:
    """Show the progress of a job while the block runs: a bar on a terminal, a line for each step elsewhere.

    Args:
        console: where.
        steps: the names of its steps, in order.
    """
    if not console.is_terminal:
        yield lambda report: _print(console, report)
        return
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=len(steps))

        def show(report: Report) -> None:
            index = steps.index(report.step) if report.step in steps else 0
            place = len(steps) - 1 - index if report.undo else index
            text = f"{report.step}  {report.text}".rstrip()
            bar.update(task, description=text, completed=place + report.fraction)
            if report.state not in {StepState.STARTED, StepState.UNDOING}:
                _print(bar.console, report)

        yield show


def _print(console: Console, report: Report) -> None:
    if report.state in {StepState.STARTED, StepState.UNDOING} and not report.text:
        return
    console.print(
        f"{mark(report.state)} {report.step}  {report.text}".rstrip(), markup=False, highlight=False, soft_wrap=True
    )


@contextlib.contextmanager
def stopping(console: Console) -> Iterator[Stop]:
    """Return a stop that Ctrl-C and SIGTERM ask for; a second one interrupts the step that runs.

    Args:
        console: where the caller reads that the stop was asked for.
    """
    stop, loop, task = Stop(), asyncio.get_running_loop(), asyncio.current_task()

    def ask() -> None:
        if stop.requested and task is not None:
            task.cancel()
            return
        console.print("stopping after this step; once more interrupts it", highlight=False)
        stop.request()

    signals = (signal.SIGINT, signal.SIGTERM)
    for each in signals:
        loop.add_signal_handler(each, ask)
    try:
        yield stop
    finally:
        for each in signals:
            loop.remove_signal_handler(each)
