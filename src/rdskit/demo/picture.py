"""Draw a run as one SVG: latency over time, orders per second, and a close-up of the failover.

The SVG contains its styles, for light and dark mode, so it works in a README as well as in a page.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rdskit.demo.policy import CLOSE_UP as AROUND
from rdskit.reports.charts import LEFT, RIGHT, Scale, line, path, polyline, svg, text, ticks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rdskit.demo.model import Failover, Report, Slice

LATENCY = (64, 244)  # top and bottom of each panel
ORDERS = (290, 360)
CLOSE_UP = (454, 574)
_LABEL = 224  # width of the label of the background work
FLOOR, CEILING = 0.3, 30_000.0  # limits of the latency axis in milliseconds


def draw(report: Report) -> str:
    """Draw the whole picture as an SVG element.

    Args:
        report: the run.
    """
    time = Scale(0, report.seconds, LEFT, RIGHT)
    height = CLOSE_UP[1] + 40 if report.failover else ORDERS[1] + 36
    parts = [*_latency_panel(report, time), *_orders_panel(report, time)]
    parts += _close_up_panel(report, report.failover) if report.failover else []
    return svg(f"Latency over time: {report.title}", height, parts)


def decades(lowest: float, highest: float) -> tuple[float, float]:
    """Return the exponents of the powers of ten around two latencies in milliseconds."""
    low = math.floor(math.log10(min(max(lowest, FLOOR), CEILING)))
    high = math.ceil(math.log10(min(max(highest, FLOOR), CEILING)))
    return low, max(high, low + 1)


def _latency_panel(report: Report, time: Scale) -> Iterator[str]:
    shown = [s for s in report.slices if s.write_p50 is not None and s.write_p99 is not None]
    low, high = decades(
        min((s.write_p50 or FLOOR for s in shown), default=1), max((s.write_p99 or FLOOR for s in shown), default=10)
    )
    level = Scale(low, high, LATENCY[1], LATENCY[0])
    yield text(LEFT, 22, "How long placing an order took", "head")
    yield text(RIGHT - 128, 22, "median", "median", anchor="end")
    yield text(RIGHT, 22, "99th percentile", "tail", anchor="end")
    for power in range(int(low), int(high) + 1):
        yield line(LEFT, level(power), RIGHT, level(power))
        yield text(LEFT - 8, level(power) + 4, _duration(10.0**power), anchor="end")
    yield from _background(report, time, LATENCY, label=True)
    yield from _band(report, time, LATENCY, label=True)
    for attribute, kind in (("write_p99", "tail"), ("write_p50", "median")):
        points = [(time(s.start), level(math.log10(max(getattr(s, attribute), FLOOR)))) for s in shown]
        yield polyline(points, kind)


def _orders_panel(report: Report, time: Scale) -> Iterator[str]:
    width = _width(report.slices)
    rates = [s.writes / width for s in report.slices[:-1]]  # the last slice is cut short
    most = max(rates, default=0) or 1
    level = Scale(0, most * 1.1, ORDERS[1], ORDERS[0])
    yield text(LEFT, ORDERS[0] - 14, "Orders acknowledged per second", "head")
    for tick in ticks(0, most * 1.1, 2):
        yield line(LEFT, level(tick), RIGHT, level(tick))
        yield text(LEFT - 8, level(tick) + 4, f"{tick:,.0f}", anchor="end")
    yield from _background(report, time, ORDERS)
    yield from _band(report, time, ORDERS)
    steps = [
        (x, level(rate))
        for s, rate in zip(report.slices, rates, strict=False)
        for x in (time(s.start), time(s.start + width))
    ]
    if steps:
        area = [(steps[0][0], level(0)), *steps, (steps[-1][0], level(0))]
        yield f'<path class="area" d="{path(area)}Z"/>'
        yield polyline(steps, "median")
    for tick in ticks(0, report.seconds, 8):
        yield text(time(tick), ORDERS[1] + 18, f"{tick:g} s", anchor="middle")


def _close_up_panel(report: Report, failover: Failover) -> Iterator[str]:
    time = Scale(-AROUND[0], AROUND[1], LEFT, RIGHT)
    lane = (CLOSE_UP[1] - CLOSE_UP[0]) / max(report.writers, 1)
    yield text(LEFT, CLOSE_UP[0] - 26, "The failover from close: each mark is an acknowledged order", "head")
    yield from _band(report, Scale(failover.at - AROUND[0], failover.at + AROUND[1], LEFT, RIGHT), CLOSE_UP, label=True)
    for tick in ticks(-AROUND[0], AROUND[1], 8):
        yield line(time(tick), CLOSE_UP[0], time(tick), CLOSE_UP[1])
        yield text(time(tick), CLOSE_UP[1] + 18, f"{tick * 1000:+.0f} ms" if tick else "signal", anchor="middle")
    yield text(LEFT - 8, (CLOSE_UP[0] + CLOSE_UP[1]) / 2 + 4, "writers", anchor="end")
    marks = (
        f"M{time(moment - failover.at)} {CLOSE_UP[0] + writer * lane + lane * 0.15:.1f}v{lane * 0.7:.1f}"
        for writer, moment in report.close_up
    )
    yield f'<path class="mark" d="{"".join(marks)}"/>'


def _band(report: Report, time: Scale, panel: tuple[int, int], *, label: bool = False) -> Iterator[str]:
    """Draw the time without a writer: from the signal to the first write that the new primary accepted."""
    if report.failover is None:
        return
    left, right = time(report.failover.at), time(report.failover.accepted)
    yield f'<rect class="down" x="{left}" y="{panel[0]}" width="{right - left:.1f}" height="{panel[1] - panel[0]}"/>'
    for x in (left, right):
        yield f'<path class="edge" d="M{x} {panel[0]}V{panel[1]}"/>'
    if label:
        promotion = f"failover: promotion {report.failover.promotion * 1000:.0f} ms"
        near_end = right > RIGHT - 260
        yield text(left if near_end else right, panel[0] - 6, promotion, "fell", anchor="end" if near_end else "start")


def _background(report: Report, time: Scale, panel: tuple[int, int], *, label: bool = False) -> Iterator[str]:
    """Draw the interval in which the old primary is rebuilt as a standby, until it is in sync or the run ends."""
    failover = report.failover
    if failover is None:
        return
    left, right = time(failover.accepted), RIGHT if failover.rebuilt is None else time(failover.rebuilt)
    yield f'<rect class="work" x="{left}" y="{panel[0]}" width="{right - left:.1f}" height="{panel[1] - panel[0]}"/>'
    if label:
        # At the top and the right: the curves are low there, after the peak of the failover at the left.
        x = min(max(right - 6, left + _LABEL), RIGHT - 6)
        yield text(x, panel[0] + 16, "standby rebuilt in the background", anchor="end")


def _width(slices: Sequence[Slice]) -> float:
    return slices[1].start - slices[0].start if len(slices) > 1 else 1.0


def _duration(milliseconds: float) -> str:
    return f"{milliseconds / 1000:g} s" if milliseconds >= 1000 else f"{milliseconds:g} ms"  # noqa: PLR2004 - a second
