"""Print rows for people: as a table if it fits, else as a block for each row; values are never truncated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from rdskit.kernel.server_words import escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

COLOURS = {
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
    "available": "green",
    "failed": "red",
    "up": "green",
    "stopped": "dim",
}
_GAP = "  "


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows: on a terminal that is too narrow, each as a block of lines ``heading value``.

    Elsewhere, as in a pipe, the table is as wide as it must be.

    Args:
        headings: of the columns; the first column names the row.
        rows: their texts; a status that has a color gets it.
    """
    console = Console(highlight=False, soft_wrap=True)
    for line in laid_out(headings, rows, console.width if console.is_terminal else None):
        console.print(line)


def laid_out(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> list[Text]:
    """Return the lines of a table, or of blocks where it is wider than ``width`` columns."""
    shown = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(headings, *shown, strict=True)]
    if width is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        return _blocks(headings, shown)
    table = [Text(_aligned(headings, widths), style="dim")]
    for row in shown:
        line = Text()
        for cell, room in zip(row, widths, strict=True):
            line.append(cell, style=COLOURS.get(cell, ""))
            line.append(" " * (room - cell_len(cell)) + _GAP)
        line.rstrip()
        table.append(line)
    return table


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (room - cell_len(cell)) for cell, room in zip(cells, widths, strict=True))
    return _GAP.join(padded).rstrip()


def _blocks(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Text]:
    lines = []
    room = max(map(cell_len, headings))
    for row in rows:
        lines.append(Text(row[0], style="bold"))
        for heading, cell in zip(headings[1:], row[1:], strict=True):
            if cell:
                label = f"{_GAP}{heading}{' ' * (room - cell_len(heading))}{_GAP}"
                lines.append(Text.assemble((label, "dim"), (cell, COLOURS.get(cell, ""))))
    return lines
