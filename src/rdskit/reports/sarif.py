"""Format a report as SARIF 2.1.0, which code hosts and editors show beside the code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdskit.reports.model import Finding, Report

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_sarif(report: Report, *, version: str, rules: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a report of findings as one SARIF run.

    Args:
        report: with findings.
        version: of rdskit.
        rules: what each rule is about, by id; rules that only findings name have no description.
    """
    findings = report.findings or ()
    ids = sorted({*(rules or {}), *(finding.rule for finding in findings)})
    described = [
        {"id": each, **({"shortDescription": {"text": rules[each]}} if rules and each in rules else {})} for each in ids
    ]
    driver = {"name": "rdskit", "version": version, "rules": described}
    results = [_result(finding, ids.index(finding.rule)) for finding in findings]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _result(finding: Finding, index: int) -> dict[str, Any]:
    text = f"{finding.subject}: {finding.message}" + (f" {finding.remedy}" if finding.remedy else "")
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.severity.value,  # SARIF has the same three levels
        # A result that is `open` has level `none` (section 3.27.9): the rule could not be decided.
        **({"kind": "open", "level": "none"} if finding.unknown else {}),
        "message": {"text": text},
        "properties": {"evidence": dict(finding.evidence)},
    }
    if finding.place is not None:
        region = {"region": {"startLine": finding.place.line}} if finding.place.line else {}
        result["locations"] = [{"physicalLocation": {"artifactLocation": {"uri": finding.place.path}, **region}}]
    else:
        result["locations"] = [{"logicalLocations": [{"fullyQualifiedName": finding.subject}]}]
    if finding.waiver is not None:
        result["suppressions"] = [{"kind": "inSource", "justification": finding.waiver.reason}]
    return result
