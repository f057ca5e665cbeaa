"""Render a frame as lines of text for a terminal of a given size."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from rdskit.kernel.server_words import escaped
from rdskit.kernel.topology import Role
from rdskit.operate.top.columns import COLUMNS, Column, duration
from rdskit.operate.top.model import Level
from rdskit.operate.top.policy import SORTS, ordered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.operate.top.keys import Look
    from rdskit.operate.top.model import Entry, Frame, HostView

_GAP: Final = 2  # blanks between two columns
_LEVELS: Final = {Level.INFO: "", Level.GOOD: "green", Level.BAD: "red"}
_ALWAYS_EVENTS: Final = 4  # lines reserved for the journal, even with many hosts
_HELP: Final = (
    "q  quit          p  pause, and go on          s  sort by the next of: " + ", ".join(SORTS),
    "+  poll less often    -  poll more often      ?  this help",
    "tx/s, stmt/s  transactions and statements per second, including the polls of this view",
    "latency  a round trip on an open connection, smoothed over 5 s      conn  connections open / allowed",
    "oldest  the transaction open for longest, and its connection's number on the server",
    "lag, behind  time and log that a reader has still to replay         pool  of this view: in use/open, breaker",
    "history  the rate at the last polls; a red x is a poll without an answer",
)


def render(frame: Frame, look: Look, width: int, height: int | None = None) -> list[Text]:
    """Render a frame as styled lines.

    Args:
        frame: the data.
        look: the display settings.
        width: the largest width of a line in cells.
        height: the largest number of lines; None for no limit.
    """
    lines = [
        _title(frame, look, None if height is None else width),
        _state(frame),
        Text(),
        *_table(ordered(frame.hosts, look.sort), frame, width),
    ]
    lines += _remarks(frame)
    lines += [Text(), *(Text(line, "cyan") for line in _HELP)] if look.help else []
    if height is not None and len(lines) > height - _ALWAYS_EVENTS:
        kept = max(2, height - _ALWAYS_EVENTS - 1)
        lines = [*lines[:kept], Text(f"… {len(lines) - kept} lines more: enlarge the window", "dim")]
    room = None if height is None else max(0, height - len(lines) - 2)
    lines += _events(frame.journal, room)
    return [_cut(line, width) for line in lines[:height]]


def _remarks(frame: Frame) -> list[Text]:
    """Return lines for hosts that do not respond and for values that cannot be read."""
    lost = (host for host in frame.hosts if host.problem)
    away = [Text(f"✗ {escaped(host.identifier)}: {escaped(host.problem or '')}", "red") for host in lost]
    hidden = [Text(f"! {escaped(note)}", "yellow") for note in frame.notes]
    return [Text(), *away, *hidden] if away or hidden else []


def _cut(line: Text, width: int) -> Text:
    line.no_wrap = True
    line.truncate(width, overflow="ellipsis")
    return line


# -- the head ----------------------------------------------------------------------------------------------------------


def _title(frame: Frame, look: Look, width: int | None) -> Text:
    """Return the first line; in a terminal it ends with the key for help."""
    title = Text.assemble(("rdskit top", "bold"), f"  {escaped(frame.target)}  {frame.engine}  {_clock(frame.at)}")
    title.append(f"  every {duration(frame.interval)}")
    if look.sort != "role":
        title.append(f"  by {look.sort}")
    if look.paused:
        title.append("  PAUSED", "bold yellow")
    if width is not None:
        mark = "? help"
        title.pad_right(max(2, width - cell_len(title.plain) - len(mark)))
        title.append(mark, "dim")
    return title


def _state(frame: Frame) -> Text:
    if frame.failing_since is not None:
        since = duration(max(0.0, frame.at - frame.failing_since))
        words = f"NO WRITER for {since}: failover, restart or network; looking for it"
        return Text(words, "bold white on red")
    writer = next((host for host in frame.hosts if host.role is Role.WRITER), None)
    away = [host.identifier for host in frame.hosts if host.problem]
    readers = _readers(sum(host.role is Role.READER for host in frame.hosts))
    words = f"writer {writer.identifier}, {readers}" if writer else f"no writer, {readers}"
    if away:
        return Text(f"{words}; no response from {', '.join(away)}", "bold red")
    return Text.assemble((words, "bold green"), (f"; retry budget of this client {frame.retries_left}", "dim"))


def _readers(count: int) -> str:
    return {0: "no readers", 1: "1 reader"}.get(count, f"{count} readers")


def _clock(at: float) -> str:
    return dt.datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


# -- the table ---------------------------------------------------------------------------------------------------------


def _table(hosts: Sequence[HostView], frame: Frame, width: int) -> list[Text]:
    columns = _fitting(hosts, frame.at, width)
    head = Text("".join(_aligned(column.heading, size, column) for column, size in columns).rstrip(), "dim")
    return [head, *(_row(host, frame.at, columns) for host in hosts)]


def _fitting(hosts: Sequence[HostView], now: float, width: int) -> list[tuple[Column, int]]:
    """Return the non-empty columns with their widths; on a narrow terminal the least important are dropped."""
    chosen = []
    for column in COLUMNS:
        cells = [column.cell(host, now).plain for host in hosts]
        if any(cells):
            chosen.append((column, max(map(cell_len, (column.heading, *cells)))))
    while len(chosen) > 1 and sum(size + _GAP for _, size in chosen) - _GAP > width:
        chosen.remove(max(chosen, key=lambda each: each[0].rank))
    return chosen


def _row(host: HostView, now: float, columns: Sequence[tuple[Column, int]]) -> Text:
    row = Text()
    for column, size in columns:
        cell = column.cell(host, now)
        blanks = size - cell_len(cell.plain)
        row.append(" " * blanks if column.right else "").append_text(cell)
        row.append(" " * (_GAP if column.right else blanks + _GAP))
    row.rstrip()
    return row


def _aligned(words: str, size: int, column: Column) -> str:
    padded = " " * (size - cell_len(words)) + words if column.right else set_cell_size(words, size)
    return padded + " " * _GAP


# -- the journal -------------------------------------------------------------------------------------------------------


def _events(journal: Sequence[Entry], room: int | None) -> list[Text]:
    """Return the newest entries that fit, the newest last, below a heading."""
    shown = journal if room is None else journal[len(journal) - min(room, len(journal)) :]
    return [Text(), Text("what happened", "dim"), *(_entry(entry) for entry in shown)] if shown else []


def _entry(entry: Entry) -> Text:
    times = f" ({entry.count} times)" if entry.count > 1 else ""
    return Text.assemble(
        (_clock(entry.at), "dim"),
        f"  {escaped(entry.subject)}  ",
        (escaped(entry.words) + times, _LEVELS[entry.level]),
    )
