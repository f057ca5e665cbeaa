"""A report for a terminal or a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.reports.model import Finding, Report


def as_text(report: Report) -> str:
    """Return a report as plain text; the verdict comes last, where a terminal shows it."""
    lines = [report.title, *([report.when] if report.when else []), ""]
    for finding in report.findings or ():
        lines += [*_finding(finding), ""]
    if report.figures:
        wide = max(18, *(len(figure.name) + 1 for figure in report.figures))
        lines += [f"  {each.name:<{wide}}{each.value:>20}   {each.meaning}" for each in report.figures]
        lines.append("")
    for note in report.notes:
        lines += [f"  {note}", ""]
    return "\n".join([*lines, report.verdict])


def _finding(finding: Finding) -> Iterator[str]:
    kind = "undecided" if finding.unknown else finding.severity.value
    where = f"{finding.place}  " if finding.place else ""
    yield f"{where}{kind} {finding.rule}: {finding.subject}: {finding.message}"
    if finding.evidence:
        yield "  " + ", ".join(f"{name} {value}" for name, value in finding.evidence.items())
    if finding.remedy:
        for number, line in enumerate(finding.remedy.splitlines()):
            yield f"  {'→' if number == 0 else ' '} {line}"
    if finding.waiver is not None:
        until = f" (until {finding.waiver.until})" if finding.waiver.until else ""
        yield f"  waived: {finding.waiver.reason}{until}"
