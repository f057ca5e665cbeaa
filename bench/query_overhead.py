"""What a single-row SELECT by primary key costs through rdskit and its peers, beside the plain asynchronous driver.

One server of each engine, reached directly; every peer keeps its connection open, and has its statement prepared where
it can. Synchronous peers are compared with their own plain driver too.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_advanced_python_wrapper import release_resources

import harness
from mysql_peers import MARIADB, MYSQL
from postgres_peers import POSTGRES

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from peers import Engine

ENGINES = {engine.name: engine for engine in (POSTGRES, MARIADB, MYSQL)}
# Short blocks: the machine's speed drifts within seconds, and of blocks of 500 calls raw against raw came out at ±5 µs
# where blocks of 50 give ±0.6.
CALLS = 50
ROUNDS = 400
ADDED = 6.0
"""Microseconds that rdskit may add to a call when all share one CPU."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; ``own_ratio`` is against the peer's own driver where that is a synchronous one."""

    engine: str
    name: str
    driver: str
    microseconds: float
    added: float
    ratio: float
    low: float
    high: float
    own_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one engine's rows say.

    Attributes:
        engine: its name.
        valid: the driver against itself came out even, on pinned CPUs.
        kept: rdskit is within its gate.
        text: both, for people.
    """

    engine: str
    valid: bool
    kept: bool
    text: str


def measure_async(
    runner: asyncio.Runner, baseline: harness.Contender, engine: Engine, server: Any, effort: harness.Effort
) -> list[Row]:
    rows = []
    for name, opened in {f"{engine.driver}, again": engine.open_raw, **engine.async_peers}.items():
        call, close = runner.run(_await(opened(server)))
        contender = harness.async_contender(runner, name.partition(" (")[0], call)
        driver = name.partition("(")[2].rstrip(")") or engine.driver
        rows.append(_row(engine, harness.compare(baseline, contender, effort), driver))
        runner.run(_await(close()))
    return rows


def measure_sync(baseline: harness.Contender, engine: Engine, server: Any, effort: harness.Effort) -> list[Row]:
    own_call, own_close = engine.open_sync_raw(server)
    own = harness.sync_contender(engine.sync_driver, own_call)
    rows = [_row(engine, harness.compare(baseline, own, effort), engine.sync_driver)]
    for name, opened in engine.sync_peers.items():
        call, close = opened(server)
        contender = harness.sync_contender(name, call)
        against_own = harness.compare(own, contender, effort).ratio
        rows.append(_row(engine, harness.compare(baseline, contender, effort), engine.sync_driver, against_own))
        close()
    own_close()
    release_resources()
    return rows


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _row(engine: Engine, figures: harness.Comparison, driver: str, own_ratio: float | None = None) -> Row:
    return Row(
        engine=engine.name,
        name=figures.name,
        driver=driver,
        microseconds=figures.microseconds,
        added=figures.added,
        ratio=figures.ratio,
        low=figures.low,
        high=figures.high,
        own_ratio=own_ratio,
    )


def measure(engine: Engine, server: Any, effort: harness.Effort) -> list[Row]:
    """All rows of an engine: first its driver against itself, then rdskit and the peers."""
    with asyncio.Runner() as runner:
        call, close = runner.run(_await(engine.open_raw(server)))
        baseline = harness.async_contender(runner, engine.driver, call)
        rows = measure_async(runner, baseline, engine, server, effort)
        rows += measure_sync(baseline, engine, server, effort)
        runner.run(_await(close()))
    return rows


def judge(engine: Engine, rows: list[Row], *, pinned: bool, one_cpu: bool) -> Verdict:
    """Say whether an engine's figures can be trusted, and whether rdskit is within its gate."""
    again, ours, *_ = rows
    valid = pinned and harness.is_valid(again.ratio)
    kept = ours.ratio <= engine.gate and (not one_cpu or ours.added <= ADDED)
    gate = f"{engine.gate} x" + (f" and {ADDED:g} µs" if one_cpu else "")
    text = f"rdskit: {ours.ratio:.3f} x {engine.driver}, {ours.added:+.1f} µs; the gate is {gate}"
    return Verdict(engine.name, valid, kept, text if valid else harness.NOT_VALID)


def show(engine: Engine, rows: list[Row]) -> None:
    """Print an engine's table."""
    lines = [
        (
            row.name,
            row.driver,
            f"{row.microseconds:.1f}",
            f"{row.added:+.1f}",
            f"{row.ratio:.3f}",
            f"{row.low:.2f}..{row.high:.2f}",
            f"{row.own_ratio:.2f}" if row.own_ratio else "",
        )
        for row in rows
    ]
    headings = (engine.name, "driver", "µs", "added µs", f"x {engine.driver}", "quartiles", "x own driver")
    harness.print_table(headings, lines)


def run(engine: Engine, effort: harness.Effort, *, one_cpu: bool) -> tuple[list[Row], Verdict]:
    """Measure one engine on a server of its own, and print its table."""
    with tempfile.TemporaryDirectory() as directory, engine.start(Path(directory)) as server:
        pinned = harness.pin(server.pid, one_cpu=one_cpu)
        rows = measure(engine, server, effort)
    verdict = judge(engine, rows, pinned=pinned, one_cpu=one_cpu)
    show(engine, rows)
    print(f"{verdict.text}\n")
    return rows, verdict


def main() -> int:
    """Measure the engines, print, and say whether every figure can be trusted and every gate is kept."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--engine", choices=ENGINES, action="append", help="one engine (default: each)")
    parser.set_defaults(calls=CALLS, rounds=ROUNDS)
    options = parser.parse_args()
    logging.disable(logging.ERROR)  # the AWS wrapper logs at import and at connect that a server is not on RDS
    effort = harness.Effort(options.calls, options.rounds)
    chosen = [ENGINES[name] for name in options.engine or ENGINES]
    measured = [run(engine, effort, one_cpu=options.one_cpu) for engine in chosen]
    rows = [row for of_engine, _ in measured for row in of_engine]
    valid = all(verdict.valid for _, verdict in measured)
    kept = all(verdict.kept for _, verdict in measured)
    figures = {
        "valid": valid,
        "engines": {verdict.engine: {"valid": verdict.valid, "kept": verdict.kept} for _, verdict in measured},
        "gates": {engine.name: engine.gate for engine in chosen},
    }
    harness.write_json(options.json, figures, rows)
    return 0 if valid and kept else 1


if __name__ == "__main__":
    sys.exit(main())
