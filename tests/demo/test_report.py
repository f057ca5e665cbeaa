"""Telling a run: the page stands alone, the picture is well-formed, the verdict follows the figures."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from rdskit.demo.picture import decades, draw
from rdskit.demo.report import as_json, as_page, as_text, verdict
from rdskit.reports import Scale, ticks
from tests.demo.reports import made_up_report

REQUIRED = "acknowledged present lost duplicated unknown reads stale_reads outage_ms promotion_ms first_write_after_ms"


def test_the_json_has_every_promised_name() -> None:
    told = json.loads(json.dumps(as_json(made_up_report())))
    assert set(REQUIRED.split()) <= told.keys()
    assert told["lost"] == 0
    assert told["promotion_ms"] == 128
    assert len(told["timeline"]) == 151


def test_the_page_needs_no_other_file() -> None:
    page = as_page(made_up_report())
    wanted: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            wanted.extend(f"{tag} {name}" for name, _ in attrs if name in {"src", "href"} or tag == "script")

    Links().feed(page)
    assert wanted == []
    assert "url(" not in page
    assert "@import" not in page
    assert len(page) < 300_000


def test_the_picture_is_well_formed_and_stays_inside_its_frame() -> None:
    root = ET.fromstring(draw(made_up_report()))  # noqa: S314 - our own text
    width, height = (float(part) for part in root.attrib["viewBox"].split()[2:])
    texts = [element for element in root.iter() if element.tag.endswith("text")]
    assert all(0 <= float(text.attrib["x"]) <= width and 0 <= float(text.attrib["y"]) <= height for text in texts)
    assert not re.search(r"nan|inf", draw(made_up_report()))


@pytest.mark.parametrize(("lose", "words"), [(0, "Nothing lost"), (3, "3 acknowledged orders are lost")])
def test_the_verdict_follows_the_figures(lose: int, words: str) -> None:
    report = made_up_report(lose=lose)
    assert words in verdict(report)
    assert words in as_text(report)
    assert words in as_page(report)


def test_the_text_fits_a_terminal_of_80_columns() -> None:
    report = made_up_report()
    figures = replace(report.figures, unknown=12, unknown_present=7, errors={"ConnectError": 7})
    assert [line for line in as_text(replace(report, figures=figures)).splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(("rebuilt", "told"), [(9.25, "5.3 s to 9.2 s"), (None, "5.3 s to the end")])
def test_the_work_in_the_background_is_marked_and_explained(rebuilt: float | None, told: str) -> None:
    report = made_up_report()
    assert report.failover is not None
    report = replace(report, failover=replace(report.failover, rebuilt=rebuilt))
    assert draw(report).count('class="work"') == 2
    assert told in as_page(report)
    assert told in as_text(report)
    assert as_json(report)["run"]["standby_rebuilt_at"] == rebuilt


def test_a_run_that_was_ended_before_anything_happened_can_be_told() -> None:
    report = replace(made_up_report(), slices=(), close_up=(), failover=None, seconds=0.0, interrupted=True)
    ET.fromstring(draw(report))  # noqa: S314 - our own text
    assert "ended early" in as_page(report)


def test_markup_in_a_name_stays_text() -> None:
    page = as_page(replace(made_up_report(), title="<script>alert(1)</script>"))
    assert "<script" not in page


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 15, 8) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert ticks(-0.4, 0.9, 8) == [-0.4, -0.2, 0, 0.2, 0.4, 0.6, 0.8]
    assert ticks(0, 0, 4) == [0]


def test_decades_enclose_and_never_collapse() -> None:
    assert decades(3, 150) == (0, 3)
    assert decades(1, 1) == (0, 1)


def test_a_scale_draws_what_is_outside_at_the_border() -> None:
    scale = Scale(0, 10, 100, 200)
    assert [scale(value) for value in (-5, 0, 5, 10, 99)] == [100, 100, 150, 200, 200]
