"""Findings and reports look alike in every form, and no form lets markup or an undecided rule slip through."""

from __future__ import annotations

import datetime as dt
import json
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from rdskit.reports import (
    Figure,
    Finding,
    Place,
    Report,
    Series,
    Severity,
    Waiver,
    as_json,
    as_page,
    as_sarif,
    as_text,
    line_chart,
)

BLOCKING = Finding(
    "index-not-concurrent",
    Severity.ERROR,
    "table users",
    "the index is built under a lock that blocks writes",
    {"rows": 1_200_000},
    "create index concurrently users_email on users (email)",
    Place("migrations/1.sql", 4),
)
UNDECIDED = Finding(
    "backup-retention", Severity.WARNING, "instance orders", "DescribeDBInstances was refused", unknown=True
)
WAIVED = Finding(
    "drop-column",
    Severity.ERROR,
    "table users",
    "the running version may still read it",
    place=Place("migrations/2.sql", 9),
    waiver=Waiver("not read since May", dt.date(2027, 1, 1)),
)
NOTE = Finding("style", Severity.NOTE, "migrations/1.sql", "no down section", place=Place("migrations/1.sql"))


def report(*findings: Finding) -> Report:
    return Report.of_findings("rdskit migrate lint", findings, checked=12)


def test_findings_are_told_in_the_order_of_their_weight() -> None:
    found = report(NOTE, WAIVED, UNDECIDED, BLOCKING)
    assert found.findings == [BLOCKING, UNDECIDED, NOTE, WAIVED]
    assert found.verdict == "12 checked: 1 error, 1 warning, 1 note, 1 undecided, 1 waived."
    assert not found.good


@pytest.mark.parametrize(
    ("findings", "good"), [((), True), ((NOTE, WAIVED), True), ((UNDECIDED,), False), ((BLOCKING,), False)]
)
def test_only_what_counts_makes_a_report_bad_and_undecided_is_never_fine(
    findings: tuple[Finding, ...], *, good: bool
) -> None:
    assert report(*findings).good is good
    assert as_json(report(*findings))["good"] is good


def test_a_waiver_ends_on_its_day() -> None:
    waiver = Waiver("until we have moved", dt.date(2027, 1, 1))
    assert waiver.holds(dt.date(2027, 1, 1))
    assert not waiver.holds(dt.date(2027, 1, 2))
    assert Waiver("for good").holds(dt.date(2999, 1, 1))


def test_the_text_names_place_rule_evidence_remedy_and_waiver() -> None:
    text = as_text(report(BLOCKING, UNDECIDED, WAIVED))
    assert "migrations/1.sql:4  error index-not-concurrent: table users: the index is built" in text
    assert "rows 1200000" in text
    assert "→ create index concurrently" in text
    assert "undecided backup-retention" in text
    assert "waived: not read since May (until 2027-01-01)" in text
    assert text.splitlines()[-1].startswith("12 checked")


def test_the_json_holds_everything_under_one_name_each() -> None:
    told = json.loads(json.dumps(as_json(report(BLOCKING, WAIVED))))
    assert told["checked"] == 12
    assert told["findings"][0] == {
        "rule": "index-not-concurrent",
        "severity": "error",
        "unknown": False,
        "subject": "table users",
        "message": "the index is built under a lock that blocks writes",
        "evidence": {"rows": 1_200_000},
        "remedy": "create index concurrently users_email on users (email)",
        "counts": True,
        "path": "migrations/1.sql",
        "line": 4,
    }
    assert told["findings"][1]["waiver"] == {"reason": "not read since May", "until": "2027-01-01"}


def test_sarif_has_rules_levels_places_and_suppressions() -> None:
    sarif = json.loads(json.dumps(as_sarif(report(BLOCKING, UNDECIDED, WAIVED, NOTE), version="1.0")))
    assert sarif["version"] == "2.1.0"
    (run,) = sarif["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == sorted({each.rule for each in (BLOCKING, UNDECIDED, WAIVED, NOTE)})
    by_rule = {result["ruleId"]: result for result in run["results"]}
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    place = by_rule["index-not-concurrent"]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "migrations/1.sql"}, "region": {"startLine": 4}}
    assert "region" not in by_rule["style"]["locations"][0]["physicalLocation"]
    assert by_rule["index-not-concurrent"]["level"] == "error"
    assert (by_rule["backup-retention"]["kind"], by_rule["backup-retention"]["level"]) == ("open", "none")
    assert by_rule["drop-column"]["suppressions"] == [{"kind": "inSource", "justification": "not read since May"}]


def test_the_page_needs_no_other_file_and_markup_stays_text() -> None:
    wanted: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            wanted.extend(f"{tag} {name}" for name, _ in attrs if name in {"src", "href"} or tag == "script")

    hostile = "<script>alert(1)</script>"
    finding = Finding(hostile, Severity.ERROR, hostile, hostile, {hostile: hostile}, hostile, Place(hostile))
    page = as_page(
        Report(hostile, hostile, good=False, findings=[finding], figures=[Figure(hostile, hostile, hostile)])
    )
    Links().feed(page)
    assert wanted == []
    assert "<script" not in page


def test_a_chart_is_well_formed_and_stays_inside_its_frame() -> None:
    lag = Series("lag", [(0, 0.5), (1, 3.0), (2, 1.0)])
    chart = line_chart("Lag <of> replicas", [lag, Series("limit", [(0, 2), (2, 2)])], y="{:g} s".format)
    root = ET.fromstring(chart)  # noqa: S314 - our own text
    width, height = (float(part) for part in root.attrib["viewBox"].split()[2:])
    texts = [element for element in root.iter() if element.tag.endswith("text")]
    assert {"Lag <of> replicas", "lag", "limit", "3 s"} <= {text.text for text in texts}
    assert all(0 <= float(text.attrib["x"]) <= width and 0 <= float(text.attrib["y"]) <= height for text in texts)
    ET.fromstring(line_chart("nothing", []))  # noqa: S314 - our own text
