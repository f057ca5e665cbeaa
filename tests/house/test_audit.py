"""The audit never takes silence for good news, and its offline database knows which versions an advisory is about."""

from __future__ import annotations

import json
import urllib.request

import pytest

from tools.advisories import FILE, known, pinned, served
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
    assert verdict(0, output(GOOD), "", "PyPI's JSON API") == (
        0,
        ["audit: 1 pins, 0 vulnerabilities known to PyPI's JSON API"],
    )


def test_a_vulnerability_names_its_version_and_the_one_that_is_mended() -> None:
    status, lines = verdict(1, output(GOOD, BAD), "Found 1 known vulnerability", "OSV")
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
    status, lines = verdict(0, printed, errors, "PyPI's JSON API")
    assert (status, len(lines)) == (2, 1)
    assert lines[0].startswith("audit: PyPI's JSON API d")


DATABASE = {
    "source": "a test",
    "advisories": {
        "shop-kit": {
            "PYSEC-1": [[{"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "2.0"}, {"fixed": "2.1.3"}]],
            "PYSEC-2": [[{"introduced": "1.0"}, {"last_affected": "1.5"}]],
        }
    },
}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.9", ["PYSEC-1"]),
        ("1.1", ["PYSEC-1", "PYSEC-2"]),
        ("1.2", ["PYSEC-2"]),
        ("1.5", ["PYSEC-2"]),
        ("1.5.1", []),
        ("2.0rc1", []),
        ("2.1.2", ["PYSEC-1"]),
        ("2.1.3", []),
    ],
)
def test_the_offline_database_knows_between_which_versions_an_advisory_holds(version: str, expected: list[str]) -> None:
    assert [each["id"] for each in known(DATABASE, "Shop_Kit", version)] == expected


def test_the_offline_database_answers_as_osv_does() -> None:
    with served(DATABASE) as url:
        asked = {"package": {"name": "shop-kit", "ecosystem": "PyPI"}, "version": "2.1"}
        request = urllib.request.Request(url, json.dumps(asked).encode())  # noqa: S310 - loopback
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - loopback
            (found,) = json.load(answer)["vulns"]
    assert found["affected"][0]["package"] == asked["package"]


def test_the_stored_advisories_are_about_packages_that_are_pinned() -> None:
    assert set(json.loads(FILE.read_text())["advisories"]) <= set(pinned())
