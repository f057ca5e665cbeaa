"""What a process pays for importing rdskit and its peers: whole processes, in turn, minus bare Python."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import harness

if TYPE_CHECKING:
    from collections.abc import Mapping

GATE = 60.0
"""Milliseconds over bare Python for `import rdskit; rdskit.connect`."""
ROUNDS = 15
TOP = 15

BARE = "pass"
PROGRAMS = {
    "rdskit.connect": "import rdskit; rdskit.connect",
    "rdskit": "import rdskit",
    "asyncio": "import asyncio",
    "asyncpg": "import asyncpg",
    "boto3": "import boto3",
    "AWS wrapper": "import aws_advanced_python_wrapper",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: medians of milliseconds, ``added`` is over bare Python."""

    name: str
    milliseconds: float
    added: float


def run(program: str) -> float:
    """Milliseconds of one process from start to end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return (time.perf_counter() - start) * 1e3


def measure(programs: Mapping[str, str], rounds: int) -> list[Row]:
    """Run every program once a round, bare Python first; the first round only warms the file cache."""
    bare: list[float] = []
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        times = {name: run(program) for name, program in {"": BARE, **programs}.items()}
        if number:
            bare.append(times[""])
            for name in programs:
                taken[name].append(times[name])
    rows = [Row("bare Python", statistics.median(bare), 0.0)]
    for name, values in taken.items():
        added = statistics.median(value - base for value, base in zip(values, bare, strict=True))
        rows.append(Row(name, statistics.median(values), added))
    return rows


def slowest_imports(program: str) -> list[tuple[str, str]]:
    """Modules by their own time, milliseconds, from `-X importtime`."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program], check=True, capture_output=True, text=True
    )
    lines = (line.removeprefix("import time:").split("|") for line in done.stderr.splitlines())
    own = [(int(parts[0]), parts[2].strip()) for parts in lines if parts[0].strip().isdecimal()]
    return [(module, f"{microseconds / 1e3:.2f}") for microseconds, module in sorted(own, reverse=True)[:TOP]]


def main() -> int:
    """Measure, print, and say whether rdskit is within its gate."""
    parser = harness.arguments(__doc__ or "")
    parser.set_defaults(rounds=ROUNDS)
    parser.add_argument("--only", default="", metavar="TEXT", help="programs whose name has this text")
    parser.add_argument("--top", action="store_true", help="also list the slowest modules of `rdskit.connect`")
    options = parser.parse_args()
    pinned = harness.pin(os.getpid(), one_cpu=True)
    programs = {name: text for name, text in PROGRAMS.items() if options.only in name}
    rows = measure(programs, options.rounds)
    lines = [(row.name, f"{row.milliseconds:.1f}", f"{row.added:+.1f}") for row in rows]
    harness.print_table(("whole process", "ms", "over bare Python"), lines)
    for row in rows:
        if row.name == "rdskit.connect":
            print(f"{row.name}: {row.added:.1f} ms over bare Python; the gate is {GATE:.0f}")
    if options.top:
        harness.print_table(("module", "own ms"), slowest_imports(PROGRAMS["rdskit.connect"]))
    harness.write_json(options.json, {"pinned": pinned, "gate": GATE}, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
