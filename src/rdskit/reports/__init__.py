"""Findings and reports: one look for everything that rdskit reports, as text, JSON, SARIF and one HTML page."""

from rdskit.reports.charts import Scale, Series, line_chart, ticks
from rdskit.reports.json_format import as_json
from rdskit.reports.model import Figure, Finding, Place, Report, Severity, Tile, Waiver, sorted_findings
from rdskit.reports.page import as_page
from rdskit.reports.sarif import as_sarif
from rdskit.reports.text import as_text

__all__ = [
    "Figure",
    "Finding",
    "Place",
    "Report",
    "Scale",
    "Series",
    "Severity",
    "Tile",
    "Waiver",
    "as_json",
    "as_page",
    "as_sarif",
    "as_text",
    "line_chart",
    "sorted_findings",
    "ticks",
]
