"""What every benchmark here shares: pinning, alternating blocks, and a table that says whether the run is valid.

What a loopback query costs depends on where the scheduler puts the two processes, so figures of an unpinned run compare
the scheduler's moods. Here the server stays on CPU 1 and the client on CPU 0, two contenders take turns in short
blocks, and what counts is the median of the ratios of neighbouring blocks. With ``--one-cpu`` both share CPU 0: no
wake-up of another CPU is in the figures, so what a contender adds weighs most.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Mapping, Sequence

CLIENT_CPU = 0
SERVER_CPU = 1
CALLS = 500
ROUNDS = 30
VALID = (0.97, 1.03)
"""Where two equal contenders must come out; outside of it, the machine was too busy for any figure."""


NOT_VALID = f"NOT VALID: raw against raw is outside {VALID[0]}..{VALID[1]}, or the CPUs are too few"


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to measure.

    Attributes:
        name: for the table.
        block: makes the given number of calls and returns the seconds that they took.
    """

    name: str
    block: Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two contenders, measured in turn.

    Attributes:
        name: the contender's name.
        baseline: what it was compared with.
        microseconds: median time of one call.
        added: median over the rounds of contender - baseline, in microseconds a call.
        ratio: median over the rounds of contender / baseline.
        low: lower quartile of that ratio.
        high: upper quartile.
    """

    name: str
    baseline: str
    microseconds: float
    added: float
    ratio: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure: ``rounds`` alternations of blocks of ``calls`` calls."""

    calls: int = CALLS
    rounds: int = ROUNDS


def compare(baseline: Contender, contender: Contender, effort: Effort) -> Comparison:
    """Let two contenders take turns; who goes first alternates too.

    Args:
        baseline: what counts as 1.
        contender: what is measured against it.
        effort: blocks and calls.

    Returns:
        The contender's figures.
    """
    baseline.block(effort.calls)
    contender.block(effort.calls)
    pairs = [_round(baseline, contender, effort.calls, number) for number in range(effort.rounds)]
    ratios = [theirs / base for base, theirs in pairs]
    low, ratio, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Comparison(
        name=contender.name,
        baseline=baseline.name,
        microseconds=statistics.median(theirs for _, theirs in pairs),
        added=statistics.median(theirs - base for base, theirs in pairs),
        ratio=ratio,
        low=max(low, min(ratios)),  # the quartiles of two values lie outside of them
        high=min(high, max(ratios)),
    )


def _round(baseline: Contender, contender: Contender, calls: int, number: int) -> tuple[float, float]:
    """Microseconds a call of both, measured one right after the other."""
    if number % 2:
        base = baseline.block(calls)
        return base / calls * 1e6, contender.block(calls) / calls * 1e6
    theirs = contender.block(calls)
    return baseline.block(calls) / calls * 1e6, theirs / calls * 1e6


def async_contender(runner: asyncio.Runner, name: str, call: Callable[[], Awaitable[object]]) -> Contender:
    """Return a contender whose calls are awaited one after the other on the runner's loop."""

    async def repeat(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            await call()
        return time.perf_counter() - start

    return Contender(name, lambda calls: runner.run(repeat(calls)))


def sync_contender(name: str, call: Callable[[], object]) -> Contender:
    """Return a contender whose calls block."""

    def repeat(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - start

    return Contender(name, repeat)


def is_valid(raw_against_raw: float) -> bool:
    """Whether two equal contenders came out equal, by the ratio of one to the other."""
    return VALID[0] <= raw_against_raw <= VALID[1]


def pin(server: int | None, *, one_cpu: bool = False) -> bool:
    """Keep this process and a server each on its CPU.

    Args:
        server: process id; its threads and children, also those to come, stay with it.
        one_cpu: both on the client's.

    Returns:
        False, and nothing is pinned, if the machine has not two CPUs for us.
    """
    if not {CLIENT_CPU, SERVER_CPU} <= _CPUS:
        return False
    os.sched_setaffinity(0, {CLIENT_CPU})
    parent = psutil.Process(server)
    cpu = CLIENT_CPU if one_cpu else SERVER_CPU
    for process in (parent, *parent.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # a server's children come and go
            _pin_threads(process, cpu)
    return True


def _pin_threads(process: psutil.Process, cpu: int) -> None:
    # Affinity is a thread's own: those that MySQL keeps for its next connections would stay where they are.
    for thread in process.threads():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(thread.id, {cpu})


_CPUS = os.sched_getaffinity(0)


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="alternations (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=CALLS, help="calls in a block (default: %(default)s)")
    parser.add_argument("--one-cpu", action="store_true", help="server and client share one CPU")
    return parser


def machine() -> dict[str, Any]:
    """Where and when the figures were taken."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def write_json(path: Path | None, figures: Mapping[str, Any], rows: Sequence[Any]) -> None:
    """Write figures and rows, with where and when they were taken."""
    if path is not None:
        path.write_text(json.dumps({**machine(), **figures, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column to the left, figures to the right."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    for row in (headings, *rows):
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip())
