"""Show the demo while it runs: a live view in a terminal, one line a second elsewhere."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from rdskit.demo.model import Failover, Member, Pulse

BARS = " ▁▂▃▄▅▆▇█"
HISTORY = 60  # values of the rate that the live view shows
STEP = 1.0  # seconds between two lines of the plain view


class View(Protocol):
    """Show a run to the user; entered before its first output, left after its last."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def say(self, words: str) -> None:
        """Show a message about the next step."""
        ...

    def show(self, pulse: Pulse, members: Iterable[Member]) -> None:
        """Show the load and the servers."""
        ...

    def mark(self, failover: Failover, zones: tuple[str, str]) -> None:
        """Show that a failover happened, and between which zones."""
        ...


def view_for(console: Console) -> View:
    """Return the live view if the console is a terminal, else the plain one."""
    return LiveView(console) if console.is_terminal else PlainView(console)


class PlainView:
    """Print one line a second, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: there is nothing to restore."""

    def say(self, words: str) -> None:
        """Print the message on one line."""
        self._print(words)

    def show(self, pulse: Pulse, members: Iterable[Member]) -> None:
        """Print a line, if the last one is a second old."""
        if pulse.elapsed < self._next:
            return
        self._next = pulse.elapsed + STEP
        self._print(f"{pulse.elapsed:5.1f} s  {rates(pulse)}  {servers(members)}")

    def mark(self, failover: Failover, zones: tuple[str, str]) -> None:
        """Print the failover on one line."""
        self._print(f"{failover.at:5.1f} s  {failover_text(failover, zones)}")

    def _print(self, words: str) -> None:
        self._console.print(words, markup=False, highlight=False, soft_wrap=True)


class LiveView:
    """A table of the servers, the rates, and a strip of the orders per second in which the failover is marked."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(Spinner("dots"), console=console, refresh_per_second=8, transient=True)
        self._seen = (0.0, 0)
        self._rates: deque[tuple[float, float]] = deque(maxlen=HISTORY)
        self._failover: tuple[Failover, str] | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the view; printed messages stay."""
        self._live.stop()

    def say(self, words: str) -> None:
        """Print a line above the view."""
        self._console.print(Text(words, style="dim"))

    def show(self, pulse: Pulse, members: Iterable[Member]) -> None:
        """Redraw the view with the new figures."""
        elapsed, acknowledged = pulse.elapsed - self._seen[0], pulse.acknowledged - self._seen[1]
        self._seen = (pulse.elapsed, pulse.acknowledged)
        if elapsed > 0:
            self._rates.append((pulse.elapsed, acknowledged / elapsed))
        strip = Text("  ").append_text(self._strip())
        fell = Text(f"  {self._failover[1]}" if self._failover else "", style="bold")
        self._live.update(Group("", server_table(members), "", Text(f"  {rates(pulse)}"), strip, fell))

    def mark(self, failover: Failover, zones: tuple[str, str]) -> None:
        """Mark the failover in the strip, and show its text."""
        self._failover = (failover, failover_text(failover, zones))

    def _strip(self) -> Text:
        most = max((rate for _, rate in self._rates), default=0) or 1
        strip = Text(style="blue")
        before = 0.0
        for moment, rate in self._rates:
            fell = self._failover is not None and before < self._failover[0].at <= moment
            strip.append(bar(rate / most), style="bold yellow" if fell else "blue")
            before = moment
        return strip


def server_table(members: Iterable[Member]) -> Table:
    """Return a table with a row for each server."""
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="dim")
    for heading in ("  instance", "part", "zone", "status", "lag"):
        table.add_column(heading)
    for member in members:
        settled = "green" if member.status == "available" else "yellow"
        table.add_row(
            f"  {member.identifier}", member.part, member.zone or "", Text(member.status, settled), lag(member)
        )
    return table


def rates(pulse: Pulse) -> str:
    """Format the load on one line."""
    apart = f"  unknown {pulse.unknown}" if pulse.unknown else ""
    apart += f"  failed {pulse.failed}" if pulse.failed else ""
    apart += f"  STALE {pulse.stale_reads}" if pulse.stale_reads else ""
    return (
        f"orders {pulse.orders_per_second:5.0f}/s  p50 {pulse.p50_ms:6.1f} ms  p99 {pulse.p99_ms:6.1f} ms  "
        f"reads {pulse.reads_per_second:5.0f}/s  acknowledged {pulse.acknowledged:,}{apart}"
    )


def servers(members: Iterable[Member]) -> str:
    """Format the servers on one line."""
    return "  ".join(
        " ".join(part for part in (member.identifier, member.zone, member.status, lag(member)) if part)
        for member in members
    )


def lag(member: Member) -> str:
    """Format a reader's lag."""
    return "" if member.lag_ms is None else f"{member.lag_ms:.0f} ms behind"


def failover_text(failover: Failover, zones: tuple[str, str]) -> str:
    """Format a failover on one line."""
    return f"failover: {zones[0]} → {zones[1]}, promoted in {failover.promotion * 1000:.0f} ms"


def bar(share: float) -> str:
    """Return a block whose height is the share; a rate above zero is always visible."""
    filled = round(min(max(share, 0.0), 1.0) * (len(BARS) - 1))
    return BARS[max(filled, 1 if share > 0 else 0)]
