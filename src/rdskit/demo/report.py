"""Format a run as text, as JSON, and as one self-contained page."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from rdskit import reports
from rdskit.demo.picture import draw

if TYPE_CHECKING:
    from rdskit.demo.model import Figures, Report


def verdict(report: Report) -> str:
    """Return the result of a run in one sentence."""
    if report.complaints:
        return "Not good: " + "; ".join(report.complaints) + "."
    unknown = report.figures.unknown
    unknowns = f"; {unknown} outcome{'s' if unknown > 1 else ''} reported as unknown" if unknown else ""
    return f"Nothing lost, nothing doubled, nothing stale{unknowns}."


def rows(figures: Figures) -> list[tuple[str, str, str]]:
    """Return name, value and meaning of each figure, in the order of the report."""
    happened = f"; {figures.unknown_present} of them did happen" if figures.unknown else ""
    return [
        ("acknowledged", f"{figures.acknowledged:,}", "orders that returned to the application"),
        ("present", f"{figures.present:,}", "orders that the database holds"),
        ("lost", f"{figures.lost:,}", "acknowledged and absent"),
        ("duplicated", f"{figures.duplicated:,}", "one business key twice"),
        ("unknown", f"{figures.unknown:,}", f"ended in OutcomeUnknown{happened}"),
        ("failed", f"{figures.failed:,}", "calls with another error, nothing done"),
        ("reads", f"{figures.reads:,}", "reads of an acknowledged order"),
        ("stale reads", f"{figures.stale_reads:,}", "answered without it"),
        ("outage", _ms(figures.outage_ms), "longest time without an acknowledged order"),
        ("promotion", _ms(figures.promotion_ms), "of it the engine's: signal to first write"),
        ("first order after", _ms(figures.first_write_after_ms), "signal to a writer's first order, p99 of writers"),
        ("order p50 / p99", f"{_ms(figures.write_p50_ms)} / {_ms(figures.write_p99_ms)}", "latency over the whole run"),
        ("read p50 / p99", f"{_ms(figures.read_p50_ms)} / {_ms(figures.read_p99_ms)}", "latency over the whole run"),
    ]


def report_of(report: Report) -> reports.Report:
    """Convert the run to the common report format."""
    figures = report.figures
    errors = [f"errors seen by the application: {_counts(report)}"] if figures.errors else []
    return reports.Report(
        title=report.title,
        verdict=verdict(report),
        good=not report.complaints,
        when=_when(report),
        tiles=_tiles(figures),
        charts=[draw(report)],
        figures=[reports.Figure(*row) for row in rows(figures)],
        notes=[*_background(report), *errors],
    )


def as_text(report: Report) -> str:
    """Return the report for a terminal or a log."""
    return reports.as_text(replace(report_of(report), when=""))


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as plain values for JSON: the figures under their own names, then the run."""
    failover = report.failover
    return {
        **asdict(report.figures),
        "complaints": list(report.complaints),
        "run": {
            "title": report.title,
            "started_at": report.started_at,
            "seconds": round(report.seconds, 3),
            "writers": report.writers,
            "readers": report.readers,
            "interrupted": report.interrupted,
            "zone_before": report.zones[0],
            "zone_after": report.zones[1],
            "failover_at": None if failover is None else round(failover.at, 4),
            "standby_rebuilt_at": None if failover is None or failover.rebuilt is None else round(failover.rebuilt, 4),
            "outage_from": round(report.outage[0], 4),
            "outage_until": round(report.outage[1], 4),
        },
        "timeline": [asdict(part) for part in report.slices],
    }


def as_page(report: Report) -> str:
    """Return the report as one self-contained HTML page."""
    return reports.as_page(report_of(report))


def _tiles(figures: Figures) -> list[reports.Tile]:
    return [
        reports.Tile(f"{figures.acknowledged:,}", "orders acknowledged", False),
        reports.Tile(f"{figures.lost:,}", "lost", bool(figures.lost)),
        reports.Tile(f"{figures.duplicated:,}", "duplicated", bool(figures.duplicated)),
        reports.Tile(f"{figures.stale_reads:,}", f"stale of {figures.reads:,} reads", bool(figures.stale_reads)),
        reports.Tile(_ms(figures.outage_ms), "outage for the application", False),
        reports.Tile(_ms(figures.promotion_ms), "of it the engine's promotion", figures.promotion_ms is None),
    ]


def _when(report: Report) -> str:
    ended = ", ended early" if report.interrupted else ""
    zones = f"primary {report.zones[0]} → {report.zones[1]}"
    load = f"{report.writers} writers and {report.readers} readers for {report.seconds:.1f} s{ended}"
    return f"{report.started_at} · {load} · {zones}"


def _background(report: Report) -> list[str]:
    """Explain the grey part of the picture: the rebuild of the standby, which slows the load for a moment."""
    failover = report.failover
    if failover is None:
        return []
    end = f"{failover.rebuilt:.1f} s" if failover.rebuilt is not None else "the end"
    note = (
        f"{failover.accepted:.1f} s to {end}: the old primary is rebuilt as a standby in the background; orders wait a "
        "moment when it begins, and when commits wait for it again (grey in the picture)"
    )
    return [note]


def _counts(report: Report) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in report.figures.errors.items())


def _ms(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "none"
    return f"{milliseconds:,.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms"  # noqa: PLR2004 - two digits
