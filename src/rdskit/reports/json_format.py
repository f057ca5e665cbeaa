"""Format a report as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rdskit.reports.model import Finding, Report


def as_json(report: Report) -> dict[str, Any]:
    """Return a report as a mapping that ``json.dumps`` takes: the run's own data first, then what all reports have."""
    fields: dict[str, Any] = {**report.data, "title": report.title, "good": report.good, "verdict": report.verdict}
    if report.findings is not None:
        fields["checked"] = report.checked
        fields["findings"] = [_finding(each) for each in report.findings]
    return fields


def _finding(finding: Finding) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "unknown": finding.unknown,
        "subject": finding.subject,
        "message": finding.message,
        "evidence": dict(finding.evidence),
        "remedy": finding.remedy,
        "counts": finding.counts,
    }
    if finding.place is not None:
        fields["path"], fields["line"] = finding.place.path, finding.place.line
    if finding.waiver is not None:
        until = finding.waiver.until
        fields["waiver"] = {"reason": finding.waiver.reason, "until": until.isoformat() if until else None}
    return fields
