"""`make audit` never takes silence for good news."""

from __future__ import annotations

import json

import pytest

from tools.audit import verdict

GOOD = {"name": "rich", "version": "15.0.0", "vulns": []}
BAD = {
    "name": "jinja2",
    "version": "2.11.1",
    "vulns": [{"id": "PYSEC-2021-66", "fix_versions": ["2.11.3"], "aliases": [], "description": "…"}],
}
SKIPPED = {"name": "boto3", "skip_reason": "Dependency not found on PyPI and could not be audited: boto3 (1.0)"}


def output(*pins: object) -> str:
    return json.dumps({"dependencies": list(pins), "fixes": []})


def test_nothing_is_known_against_the_pins() -> None:
    assert verdict(0, output(GOOD), "", "pypi") == (0, ["audit: 1 pins, 0 vulnerabilities known to PyPI's JSON API"])


def test_a_vulnerability_names_its_version_and_the_one_that_is_mended() -> None:
    status, lines = verdict(1, output(GOOD, BAD), "Found 1 known vulnerability", "osv")
    assert status == 1
    assert lines[0] == "jinja2 2.11.1: PYSEC-2021-66, fixed in 2.11.3"


@pytest.mark.parametrize(
    ("printed", "errors"),
    [
        ("", "Traceback (most recent call last):\n  …\nrequests.exceptions.ConnectionError: no route\n"),
        ("", "WARNING:pip_audit._cli:hashes\nERROR:pip_audit._cli:boto3: Dependency not found on PyPI\n"),
        (output(GOOD, SKIPPED), ""),
        ("null", ""),
        ("", ""),
    ],
)
def test_a_database_that_does_not_answer_for_each_pin_is_one_clear_line_and_2(printed: str, errors: str) -> None:
    status, lines = verdict(0, printed, errors, "pypi")
    assert (status, len(lines)) == (2, 1)
    assert lines[0].startswith("audit: PyPI's JSON API d")
