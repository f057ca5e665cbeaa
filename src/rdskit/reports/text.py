"""Format a report as text for a terminal or a log."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rdskit.reports.model import Figure, Finding, Report

_WIDTH: Final = 80  # columns of a usual terminal


def as_text(report: Report) -> str:
    """Return a report as plain text; the verdict comes last, where a terminal shows it."""
    lines = [report.title, *([report.when] if report.when else []), ""]
    for finding in report.findings or ():
        lines += [*_finding(finding), ""]
    if report.figures:
        lines += [*_figures(report.figures), ""]
    for note in report.notes:
        lines += [*textwrap.wrap(note, _WIDTH, initial_indent="  ", subsequent_indent="  "), ""]
    return "\n".join([*lines, report.verdict])


def _figures(figures: Sequence[Figure]) -> Iterator[str]:
    """Format the figures as a table that fits a terminal; a long meaning continues on the next line."""
    names, values = (max(map(len, column)) for column in zip(*((f.name, f.value) for f in figures), strict=True))
    for each in figures:
        start = f"  {each.name:<{names}}  {each.value:>{values}}  "
        yield (
            textwrap.fill(
                each.meaning, _WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_long_words=False
            )
            if each.meaning
            else start.rstrip()
        )


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
