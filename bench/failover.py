"""How long an application is without its writer: rdskit beside the AWS wrapper on a local Aurora PostgreSQL cluster.

A writer and two synchronous readers, made by the RDS API; a load of 20 connections; and in each round one of: kill -9,
a hang (SIGSTOP), a black hole (packets are dropped silently), a planned failover. Each contender runs in a fresh
process for every round, on the CPU that the servers do not use. What counts is the longest time without an
acknowledged write over all writers, beside what the local RDS itself needed to detect the fault and to promote.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import harness
from failover_cluster import CLUSTER, DATABASE, FAULTS, USER, LocalCluster
from failover_contenders import CONTENDERS
from failover_figures import (
    DEADLINE,
    DIED,
    Event,
    Journal,
    Round,
    Summary,
    missed_gates,
    round_of,
    summary_of,
)
from failover_load import Entrance
from rdskit.local.engines.waiting import poll

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROUNDS: Final = 10
CONNECTIONS: Final = 20
OURS: Final = "rdskit"
NEVER_OPENED: Final = "its connections were not open in time"
_OPENING: Final = 60.0  # seconds for a contender to have all its connections at work
_WARM: Final = 1.0  # seconds of load before the fault
_CLOSING: Final = 30.0  # seconds for a contender to end


class LoadProcess:
    """A contender's process, as the benchmark steers it.

    Args:
        entrance: its settings.
    """

    def __init__(self, entrance: Entrance) -> None:
        script = str(Path(__file__).with_name("failover_load.py"))
        command = [sys.executable, "-W", "ignore", script, json.dumps(asdict(entrance))]
        self._journal = Path(entrance.journal)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._told: dict[str, Any] = {"slowest": 0.0}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def all_wrote_since(self, moment: float, within: float) -> bool:
        """Whether every writer is acknowledged a write after a moment, within so many seconds."""
        poll(lambda: self._told["slowest"] > moment or self.ended, timeout=within, interval=0.01)
        return bool(self._told["slowest"] > moment)

    def stop(self) -> Journal:
        """Have it write no more and close everything; what it saw."""
        self._order("stop")
        poll(lambda: "closed" in self._told or self.ended, timeout=_CLOSING, interval=0.05)
        if not self._journal.exists():  # it died: it saw nothing that it could tell
            return nothing_but(self.death)
        return Journal(**json.loads(self._journal.read_text()))

    def close(self) -> None:
        """End it."""
        self._order("exit")
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):  # of a process that died, with an order unread
                if stream is not None:
                    stream.close()

    @property
    def ended(self) -> bool:
        """Whether its process has ended."""
        return self._process.poll() is not None

    @property
    def death(self) -> str:
        """What became of its process: an error that ended it, or the signal."""
        status = self._process.poll()
        ended = "" if status is None else f", {signal.Signals(-status).name if status < 0 else f'exit status {status}'}"
        return f"{DIED}{ended}"

    def _order(self, word: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: its journal is missing, which says so
            self._process.stdin.write(f"{word}\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):  # what a library prints is no report
                self._told.update(json.loads(line))


def entrance_of(cluster: LocalCluster, contender: str, writers: int, journal: Path) -> Entrance:
    """Return what a contender needs to connect to the cluster."""
    return Entrance(
        contender=contender,
        writers=writers,
        cluster=CLUSTER,
        endpoint=cluster.endpoint_name,
        port=cluster.port,
        pattern=cluster.pattern,
        addresses=cluster.addresses(),
        user=USER,
        password=cluster.password,
        database=DATABASE,
        journal=str(journal),
    )


@contextlib.contextmanager
def load(cluster: LocalCluster, contender: str, writers: int) -> Iterator[LoadProcess]:
    """Run a contender while the block runs."""
    with tempfile.TemporaryDirectory() as directory:
        process = LoadProcess(entrance_of(cluster, contender, writers, Path(directory) / "journal.json"))
        try:
            yield process
        finally:
            process.close()


def play(cluster: LocalCluster, contender: str, fault: str, writers: int) -> Round:
    """One round: a fresh process, one fault, the accounts."""
    cluster.await_whole()
    cluster.empty()
    with load(cluster, contender, writers) as process:
        if not process.all_wrote_since(0.0, _OPENING):
            return never_opened(contender, fault, process.death if process.ended else NEVER_OPENED)
        process.all_wrote_since(time.monotonic() + _WARM, _OPENING)
        event = cluster.happen(fault)
        back = process.all_wrote_since(time.monotonic(), event.at + DEADLINE - time.monotonic())
        journal = process.stop()
        cluster.heal()
        left_over = cluster.left_over()
    return round_of(contender, event, journal, cluster.written(), back=back, left_over=left_over)


def nothing_but(error: str) -> Journal:
    """Return the journal of a load that has only one error."""
    return Journal([], [(time.monotonic(), error)], [], time.monotonic())


def never_opened(contender: str, fault: str, why: str) -> Round:
    """Return a round that failed before its fault."""
    unplayed = round_of(contender, Event(fault, 0.0, None, None), nothing_but(why), {}, back=False, left_over=0)
    return replace(unplayed, opened=False)


def measure(cluster: LocalCluster, options: argparse.Namespace, played: list[Round]) -> None:
    """All rounds; the contenders take turns, so that a busy minute of the machine meets all of them.

    Args:
        cluster: on which.
        options: what to play.
        played: earlier rounds; those that are played now are added.
    """
    turns = itertools.product(options.fault or FAULTS, range(options.rounds), options.only or CONTENDERS)
    planned = [(contender, fault) for fault, _, contender in turns]
    began = time.monotonic()
    for done, (contender, fault) in enumerate(planned, 1):
        played.append(play(cluster, contender, fault, options.connections))
        left = len(planned) - done
        minutes = left * (time.monotonic() - began) / done / 60
        print(f"{_line(played[-1])}  [{left} rounds to go, {minutes:.0f} min]", file=sys.stderr, flush=True)


def earlier_rounds(file: Path | None) -> list[Round]:
    """Return the rounds of a file that ``--json`` wrote; none without a file."""
    return [] if file is None else [Round(**each) for each in json.loads(file.read_text())["rows"]]


def summaries_of(rounds: Sequence[Round]) -> list[Summary]:
    """By fault and contender, in the order in which they were first played."""
    kinds = dict.fromkeys((each.fault, each.contender) for each in rounds)
    return [summary_of([one for one in rounds if (one.fault, one.contender) == kind]) for kind in kinds]


def show(summaries: Sequence[Summary]) -> None:
    """Print a table for each fault."""
    headings = (
        "outage",
        "worst",
        "of it RDS",
        "- promotion",
        "last writer",
        "connects",
        "errors",
        "left",
        "lost, twice",
    )
    for fault in dict.fromkeys(each.fault for each in summaries):
        these = [each for each in summaries if each.fault == fault]
        print(f"\n{fault}: up to {max(each.rounds for each in these)} rounds each; milliseconds, medians")
        harness.print_table(("", *headings, "ratio"), [_row(each, these[0]) for each in these])


def _row(each: Summary, first: Summary) -> tuple[str, ...]:
    unopened = f"{each.unopened} not open within {_OPENING:g} s, its process died in {each.died_opening}"
    if each.unopened and each.never == each.rounds:
        return (f"{each.contender} ({unopened})", *["-"] * 10)
    died = f", its process died in {each.died}" if each.died else ""
    never = f" ({each.never} not within {DEADLINE:g} s{died})" if each.never else ""
    never += f" ({unopened})" if each.unopened else ""
    rds = None if each.detection is None or each.promotion is None else each.detection + each.promotion
    return (
        f"{each.contender}{never}",
        _ms(each.outage),
        _ms(each.worst),
        _ms(rds),
        _ms(each.excess),
        _ms(each.last_writer),
        f"{each.attempts:g}",
        f"{each.errors:g}",
        f"{each.left_over}",
        f"{each.lost}, {each.duplicated}",
        f"{each.outage / first.outage:.2f}" if first.outage else "",
    )


def _ms(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds * 1000:,.0f}"


def _line(each: Round) -> str:
    told = ", ".join(f"{count} {name}" for name, count in each.errors.items()) or "no errors"
    promotion = f"RDS {_ms(each.detection)} + {_ms(each.promotion)}"
    return (
        f"{each.fault} {each.contender}: outage {_ms(each.outage)} ({promotion}), last writer {_ms(each.last_writer)}, "
        f"{each.attempts} connects, {told}, {each.left_over} left, {each.lost} lost of {each.acknowledged}"
        f"{'' if each.back else f', NOT BACK within {DEADLINE:g} s'}"
    )


def arguments() -> argparse.Namespace:
    """Return the parsed command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--merge", type=Path, metavar="FILE", help="count the rounds in an earlier --json file as well")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each fault (default: %(default)s)")
    parser.add_argument("--only", action="append", choices=[*CONTENDERS], help="this contender; may be repeated")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="this fault; may be repeated")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="of load (default: %(default)s)")
    return parser.parse_args()


def main() -> int:
    """Measure, print, and say whether the gates hold."""
    options = arguments()
    rounds = earlier_rounds(options.merge)
    with tempfile.TemporaryDirectory() as directory, LocalCluster.running(Path(directory)) as cluster:
        pinned = harness.pin(cluster.daemon)
        measure(cluster, options, rounds)
    summaries = summaries_of(rounds)
    show(summaries)
    missed = missed_gates(summaries, OURS)
    print(f"\ngates missed: {', '.join(missed) or 'none'}{'' if pinned else ' (not pinned: too few CPUs)'}")
    told = {"pinned": pinned, "missed": missed, "summaries": [asdict(each) for each in summaries]}
    harness.write_json(options.json, told, rounds)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
