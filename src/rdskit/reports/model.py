"""The contents of a report: findings with their evidence, figures with their meaning."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence


class Severity(Enum):
    """The severity of a finding, in the order of the report."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """Return 0 for the most severe."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file a finding is.

    Attributes:
        path: as the user gave it.
        line: from 1; None for the whole file.
    """

    path: str
    line: int | None = None

    def __str__(self) -> str:
        return self.path if self.line is None else f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Waiver:
    """The waiver of a finding.

    Attributes:
        reason: as the user wrote it.
        until: the last day on which it holds; None for no limit.
    """

    reason: str
    until: dt.date | None = None

    def holds(self, today: dt.date) -> bool:
        """Return whether it still holds.

        Args:
            today: the day.
        """
        return self.until is None or today <= self.until


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or that could not be decided.

    Attributes:
        rule: the id of the rule, such as ``index-not-concurrent``.
        severity: how much it matters.
        subject: an ARN, a table, an instance; a file's finding has its ``place`` besides.
        message: what is wrong, in one sentence.
        evidence: the numbers behind it, by name.
        remedy: what to do.
        place: the file and line, if it is about one.
        unknown: the rule could not be decided: never the same as fine. ``message`` says what was missing.
        waiver: why it does not count.
    """

    rule: str
    severity: Severity
    subject: str
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    place: Place | None = None
    unknown: bool = False
    waiver: Waiver | None = None

    @property
    def counts(self) -> bool:
        """Whether it makes the report bad: not waived, and more than a note."""
        return self.waiver is None and self.severity is not Severity.NOTE


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its meaning."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One number at the top of a page."""

    value: str
    name: str
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one run reports.

    Attributes:
        title: what ran, in one line.
        verdict: the result in one sentence.
        good: whether the result is as it should be.
        when: when and under which circumstances, in one line.
        findings: what is wrong; None where the report is not about findings.
        checked: how many subjects were checked, for findings.
        tiles: the numbers at the top of the page.
        charts: SVG elements.
        figures: the numbers in order.
        notes: sentences at the end.
        data: what the JSON form has besides, under its own names.
    """

    title: str
    verdict: str
    good: bool
    when: str = ""
    findings: Sequence[Finding] | None = None
    checked: int | None = None
    tiles: Sequence[Tile] = ()
    charts: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_findings(cls, title: str, findings: Iterable[Finding], *, checked: int, when: str = "") -> Report:
        """Return the report of a check.

        Args:
            title: what was checked.
            findings: what was found, waived ones included.
            checked: how many subjects were looked at.
            when: when and how.
        """
        found = sorted_findings(findings)
        counts = Counter(each.severity for each in found if each.counts)
        unknown = sum(each.unknown for each in found)
        waived = sum(each.waiver is not None for each in found)
        parts = [f"{counts[each]} {each.value}{'s' if counts[each] > 1 else ''}" for each in Severity if counts[each]]
        notes = sum(each.severity is Severity.NOTE and each.waiver is None for each in found)
        parts += [f"{notes} note{'s' if notes > 1 else ''}"] if notes else []
        parts += [f"{unknown} undecided"] if unknown else []
        parts += [f"{waived} waived"] if waived else []
        verdict = f"{checked} checked: {', '.join(parts)}." if parts else f"{checked} checked: nothing found."
        tiles = [Tile(str(checked), "checked")]
        tiles += [
            Tile(str(counts[each]), f"{each.value}s", bool(counts[each])) for each in (Severity.ERROR, Severity.WARNING)
        ]
        tiles += [Tile(str(unknown), "undecided", bool(unknown)), Tile(str(waived), "waived")]
        good = not any(each.counts for each in found)
        return cls(title, verdict, good, when, findings=found, checked=checked, tiles=tiles)


def sorted_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings in report order: counted before waived, the most severe first, then by place and subject."""

    def order(finding: Finding) -> tuple[bool, int, str, int, str, str]:
        place = finding.place or Place("")
        rank = finding.severity.rank
        return finding.waiver is not None, rank, place.path, place.line or 0, finding.subject, finding.rule

    return sorted(findings, key=order)
