"""Telling a run: as text, as JSON, as one self-contained page."""

from __future__ import annotations

from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING, Any

from rdskit.demo.picture import draw

if TYPE_CHECKING:
    from rdskit.demo.model import Figures, Report


def verdict(report: Report) -> str:
    """The result in one sentence."""
    if report.complaints:
        return "Not good: " + "; ".join(report.complaints) + "."
    unknown = report.figures.unknown
    told = f"; {unknown} outcome{'s' if unknown > 1 else ''} unknown, and told so" if unknown else ""
    return f"Nothing lost, nothing doubled, nothing stale{told}."


def rows(figures: Figures) -> list[tuple[str, str, str]]:
    """Name, value and meaning of each figure, in the order of telling."""
    happened = f"; {figures.unknown_present} of them did happen" if figures.unknown else ""
    return [
        ("acknowledged", f"{figures.acknowledged:,}", "orders that returned to the application"),
        ("present", f"{figures.present:,}", "orders that the database holds"),
        ("lost", f"{figures.lost:,}", "acknowledged and absent"),
        ("duplicated", f"{figures.duplicated:,}", "one business key twice"),
        ("unknown", f"{figures.unknown:,}", f"calls that ended in OutcomeUnknown{happened}"),
        ("failed", f"{figures.failed:,}", "calls that ended in another error, with nothing done"),
        ("reads", f"{figures.reads:,}", "looks for an order acknowledged before"),
        ("stale reads", f"{figures.stale_reads:,}", "answered without it"),
        ("outage", _ms(figures.outage_ms), "longest time without an acknowledged order, over all writers"),
        ("promotion", _ms(figures.promotion_ms), "the engine's own part: kill signal to the new primary's first write"),
        (
            "first write after",
            _ms(figures.first_write_after_ms),
            "kill signal to a writer's first order, p99 of writers",
        ),
        ("order p50 / p99", f"{_ms(figures.write_p50_ms)} / {_ms(figures.write_p99_ms)}", "latency over the whole run"),
        ("read p50 / p99", f"{_ms(figures.read_p50_ms)} / {_ms(figures.read_p99_ms)}", "latency over the whole run"),
    ]


def as_text(report: Report) -> str:
    """The report for a terminal or a log."""
    lines = [report.title, ""]
    lines += [f"  {name:<18}{value:>20}   {meaning}" for name, value, meaning in rows(report.figures)]
    if report.figures.errors:
        lines += ["", "  errors seen by the application: " + _counts(report)]
    return "\n".join([*lines, "", verdict(report)])


def as_json(report: Report) -> dict[str, Any]:
    """The report for programs: the figures under their own names, then the run."""
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
            "outage_from": round(report.outage[0], 4),
            "outage_until": round(report.outage[1], 4),
        },
        "timeline": [asdict(part) for part in report.slices],
    }


def as_page(report: Report) -> str:
    """The report as one HTML page without any other file."""
    tiles = "".join(_tile(*tile) for tile in _tiles(report.figures))
    table = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td><td>{escape(meaning)}</td></tr>"
        for name, value, meaning in rows(report.figures)
    )
    return PAGE.format(
        title=escape(report.title),
        tone="bad" if report.complaints else "good",
        verdict=escape(verdict(report)),
        when=escape(_when(report)),
        tiles=tiles,
        picture=draw(report),
        table=table,
        errors=f"<p>Errors seen by the application: {escape(_counts(report))}.</p>" if report.figures.errors else "",
    )


def _tiles(figures: Figures) -> list[tuple[str, str, bool]]:
    return [
        (f"{figures.acknowledged:,}", "orders acknowledged", False),
        (f"{figures.lost:,}", "lost", bool(figures.lost)),
        (f"{figures.duplicated:,}", "duplicated", bool(figures.duplicated)),
        (f"{figures.stale_reads:,}", f"stale of {figures.reads:,} reads", bool(figures.stale_reads)),
        (_ms(figures.outage_ms), "outage for the application", False),
        (_ms(figures.promotion_ms), "of it the engine's promotion", figures.promotion_ms is None),
    ]


def _tile(value: str, name: str, bad: bool) -> str:  # noqa: FBT001 - the last of three columns
    return f'<div class="tile{" bad" if bad else ""}"><b>{escape(value)}</b><span>{escape(name)}</span></div>'


def _when(report: Report) -> str:
    ended = ", ended early" if report.interrupted else ""
    zones = f"primary {report.zones[0]} → {report.zones[1]}"
    load = f"{report.writers} writers and {report.readers} readers for {report.seconds:.1f} s{ended}"
    return f"{report.started_at} · {load} · {zones}"


def _counts(report: Report) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in report.figures.errors.items())


def _ms(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "none"
    return f"{milliseconds:,.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms"  # noqa: PLR2004 - two digits


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root{{--page:#f6f8fa;--card:#fff;--ink:#1f2328;--soft:#636c76;--edge:#d8dee4;--good:#1a7f37;--bad:#cf222e}}
@media (prefers-color-scheme:dark){{
:root{{--page:#0d1117;--card:#151b23;--ink:#e6edf3;--soft:#9198a1;--edge:#30363d;--good:#3fb950;--bad:#ff7b72}}}}
*{{box-sizing:border-box}}
body{{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}}
main{{max-width:1040px;margin:0 auto;padding:40px 24px 64px}}
h1{{font-size:30px;line-height:1.2;letter-spacing:-.02em;margin:0 0 8px;text-wrap:balance}}
h1.good::before{{content:"✓ ";color:var(--good)}}h1.bad::before{{content:"✗ ";color:var(--bad)}}
p{{color:var(--soft);margin:4px 0}}
.tiles{{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:12px;margin:28px 0}}
.tile,.card{{background:var(--card);border:1px solid var(--edge);border-radius:10px}}
.tile{{padding:14px 16px}}.tile b{{display:block;font-size:26px;font-weight:650;font-variant-numeric:tabular-nums}}
.tile span{{color:var(--soft);font-size:13px}}.tile.bad b{{color:var(--bad)}}
.card{{padding:20px;overflow-x:auto}}.card svg{{display:block;width:100%;min-width:640px;height:auto}}
table{{border-collapse:collapse;width:100%;margin-top:28px}}
th,td{{text-align:left;padding:7px 12px 7px 0;border-bottom:1px solid var(--edge);font-weight:400}}
td:nth-child(2){{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;padding-right:24px}}
td:last-child{{color:var(--soft)}}
</style>
<main>
<h1 class="{tone}">{verdict}</h1>
<p>{title}</p>
<p>{when}</p>
<div class="tiles">{tiles}</div>
<div class="card">{picture}</div>
<table>{table}</table>
{errors}
</main>
</html>
"""
