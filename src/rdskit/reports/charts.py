"""Draw charts as self-contained SVG elements with their own styles, for light and dark mode."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

WIDTH = 960
LEFT, RIGHT = 64, 936
TOP, BOTTOM = 40, 220
#: One for each series, in order; the first is the most important.
KINDS = ("median", "tail", "third", "fourth")

STYLE = """
.rk{--ink:#1f2328;--soft:#636c76;--grid:#d8dee4;--median:#1f6feb;--tail:#bc4c00;--down:#cf222e;--third:#1a7f37;
--fourth:#8250df;font:13px system-ui,sans-serif}
@media (prefers-color-scheme:dark){
.rk{--ink:#e6edf3;--soft:#9198a1;--grid:#30363d;--median:#58a6ff;--tail:#f0883e;--down:#ff7b72;--third:#3fb950;
--fourth:#bc8cff}}
.rk text{fill:var(--soft)}
.rk .head{fill:var(--ink);font-size:14px;font-weight:600}
.rk .grid{stroke:var(--grid)}
.rk .line{fill:none;stroke-width:1.75;stroke-linejoin:round}
.rk .median{stroke:var(--median)}
.rk .tail{stroke:var(--tail)}
.rk .third{stroke:var(--third)}
.rk .fourth{stroke:var(--fourth)}
.rk text.median{fill:var(--median);stroke:none;font-weight:600}
.rk text.tail{fill:var(--tail);stroke:none;font-weight:600}
.rk text.third{fill:var(--third);stroke:none;font-weight:600}
.rk text.fourth{fill:var(--fourth);stroke:none;font-weight:600}
.rk .area{fill:var(--median);opacity:.22}
.rk .mark{stroke:var(--median);stroke-width:1.2}
.rk .down{fill:var(--down);opacity:.16}
.rk .work{fill:var(--soft);opacity:.13}
.rk .edge{stroke:var(--down);stroke-width:1.2}
.rk text.fell{fill:var(--down);font-weight:600}
"""


@dataclass(frozen=True, slots=True)
class Scale:
    """Map values between ``low`` and ``high`` to pixels between ``start`` and ``stop``."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; values outside are drawn at the border."""
        share = (min(max(value, self.low), self.high) - self.low) / ((self.high - self.low) or 1)
        return round(self.start + share * (self.stop - self.start), 1)


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart: points of x and y, in order of x."""

    name: str
    points: Sequence[tuple[float, float]]


def ticks(low: float, high: float, about: int) -> list[float]:
    """Return round numbers between two bounds, about so many, 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / about or 1
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    return [round(number * step, 6) for number in range(first, math.floor(high / step) + 1)]


def svg(label: str, height: float, parts: Iterable[str]) -> str:
    """Return an SVG element with the styles of all charts.

    Args:
        label: what it shows, for readers who do not see it.
        height: in the units of its 960 wide frame.
        parts: its elements.
    """
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="rk" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        f'aria-label="{escape(label)}"><style>{STYLE}</style>{"".join(parts)}</svg>'
    )


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    x: Callable[[float], str] = "{:g}".format,
    y: Callable[[float], str] = "{:,g}".format,
) -> str:
    """Return a chart of one to four series over a common axis.

    Args:
        title: what it shows.
        series: the lines; the first is the most important.
        x: how a value of the horizontal axis is written.
        y: how a value of the vertical axis is written; that axis begins at 0.
    """
    points = [point for each in series for point in each.points]
    across = Scale(min((p[0] for p in points), default=0), max((p[0] for p in points), default=1), LEFT, RIGHT)
    up = Scale(0, (max((p[1] for p in points), default=1) or 1) * 1.1, BOTTOM, TOP)
    return svg(title, BOTTOM + 32, _parts(title, series, across, up, x, y))


def _parts(
    title: str,
    series: Sequence[Series],
    across: Scale,
    up: Scale,
    x: Callable[[float], str],
    y: Callable[[float], str],
) -> Iterator[str]:
    yield text(LEFT, TOP - 18, title, "head")
    for number, (each, kind) in enumerate(zip(reversed(series), KINDS[: len(series)][::-1], strict=True)):
        yield text(RIGHT - 140 * number, TOP - 18, each.name, kind, anchor="end")
    for tick in ticks(0, up.high, 4):
        yield line(LEFT, up(tick), RIGHT, up(tick))
        yield text(LEFT - 8, up(tick) + 4, y(tick), anchor="end")
    for tick in ticks(across.low, across.high, 8):
        yield text(across(tick), BOTTOM + 18, x(tick), anchor="middle")
    for each, kind in zip(series, KINDS, strict=False):
        yield polyline([(across(a), up(b)) for a, b in each.points], kind)


def path(points: Iterable[tuple[float, float]]) -> str:
    """Return the path data of connected points."""
    return "M" + "L".join(f"{x} {y}" for x, y in points)


def polyline(points: Sequence[tuple[float, float]], kind: str) -> str:
    """Return a line through points; nothing for none."""
    return f'<path class="line {kind}" d="{path(points)}"/>' if points else ""


def line(x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a line of the grid."""
    return f'<path class="grid" d="M{x1} {y1}L{x2} {y2}"/>'


def text(x: float, y: float, words: str, kind: str = "", *, anchor: str = "start") -> str:
    """Return a piece of text."""
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'
