"""Format a report as one self-contained HTML page without scripts or links, for light and dark mode."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdskit.reports.model import Finding, Report, Tile


def as_page(report: Report) -> str:
    """Return a report as one self-contained HTML page."""
    rows = "".join(
        f"<tr><th>{escape(each.name)}</th><td>{escape(each.value)}</td><td>{escape(each.meaning)}</td></tr>"
        for each in report.figures
    )
    return PAGE.format(
        title=escape(report.title),
        tone="good" if report.good else "bad",
        verdict=escape(report.verdict),
        when=escape(report.when),
        tiles="".join(map(_tile, report.tiles)),
        charts="".join(f'<div class="card">{chart}</div>' for chart in report.charts),
        findings="".join(map(_finding, report.findings or ())),
        table=f"<table>{rows}</table>" if rows else "",
        notes="".join(f"<p>{escape(note)}</p>" for note in report.notes),
    )


def _tile(tile: Tile) -> str:
    tone = " bad" if tile.bad else ""
    return f'<div class="tile{tone}"><b>{escape(tile.value)}</b><span>{escape(tile.name)}</span></div>'


def _finding(finding: Finding) -> str:
    kind = "undecided" if finding.unknown else finding.severity.value
    classes = f"card finding {finding.severity.value}{' waived' if finding.waiver else ''}"
    place = f"<p><code>{escape(str(finding.place))}</code></p>" if finding.place else ""
    evidence = ", ".join(f"{name} {value}" for name, value in finding.evidence.items())
    parts = [
        f"<h2>{escape(kind)}: {escape(finding.rule)}</h2>{place}",
        f"<p>{escape(finding.subject)}: {escape(finding.message)}</p>",
        f"<p>{escape(evidence)}</p>" if evidence else "",
        f"<pre>{escape(finding.remedy)}</pre>" if finding.remedy else "",
        f"<p>waived: {escape(finding.waiver.reason)}</p>" if finding.waiver else "",
    ]
    return f'<section class="{classes}">{"".join(parts)}</section>'


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root{{--page:#f6f8fa;--card:#fff;--ink:#1f2328;--soft:#636c76;--edge:#d8dee4;--good:#1a7f37;--bad:#cf222e;--warn:#9a6700}}
@media (prefers-color-scheme:dark){{
:root{{--page:#0d1117;--card:#151b23;--ink:#e6edf3;--soft:#9198a1;--edge:#30363d;--good:#3fb950;--bad:#ff7b72;--warn:#d29922}}}}
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
.card{{padding:20px;overflow-x:auto;margin-top:12px}}.card svg{{display:block;width:100%;min-width:640px;height:auto}}
table{{border-collapse:collapse;width:100%;margin-top:28px}}
th,td{{text-align:left;padding:7px 12px 7px 0;border-bottom:1px solid var(--edge);font-weight:400}}
td:nth-child(2){{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;padding-right:24px}}
td:last-child{{color:var(--soft)}}
.finding{{border-left:4px solid var(--edge);margin-top:12px;padding:10px 16px}}
.finding.error{{border-left-color:var(--bad)}}.finding.warning{{border-left-color:var(--warn)}}
.finding h2{{font-size:16px;margin:0}}.finding code,.finding pre{{font:13px/1.5 ui-monospace,monospace}}
.finding pre{{white-space:pre-wrap;margin:6px 0 0}}.finding.waived{{opacity:.6}}
</style>
<main>
<h1 class="{tone}">{verdict}</h1>
<p>{title}</p>
<p>{when}</p>
<div class="tiles">{tiles}</div>
{charts}
{findings}
{table}
{notes}
</main>
</html>
"""
