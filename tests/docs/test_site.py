"""The documentation site has every page; in soak it is built, and strictly."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.docs.pages import ROOT
from tools import site

SETTINGS = (ROOT / "mkdocs.yml").read_text()


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"^ +- ([\w-]+\.md)$", SETTINGS, re.MULTILINE))
    there = {page.name for page in (ROOT / "docs").glob("*.md")}
    assert listed == (there | set(site.TOP.values())) - {"readme.md"}


def test_links_lead_to_pages_of_the_site_and_code_is_left_alone() -> None:
    text = "[a](pool.md#x) [b](../CHANGELOG.md) [c](https://a.example/b.md)\n```python\nrows[0](README.md)\n```\n"
    changed = "[a](pool.md#x) [b](changelog.md) [c](https://a.example/b.md)\n```python\nrows[0](README.md)\n```\n"
    assert site.relinked(ROOT / "docs/index.md", text) == changed
    assert site.relinked(ROOT / "CHANGELOG.md", "[pool](docs/pool.md)") == "[pool](pool.md)"


@pytest.mark.parametrize("module", site.MODULES)
def test_the_reference_names_what_a_module_offers(module: str) -> None:
    page = site.reference(module, "about")
    assert len(re.findall(r"^::: rdskit[\w.]+$", page, re.MULTILINE)) >= 1


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_it_builds_strictly() -> None:
    done = subprocess.run(["make", "docs"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout + done.stderr
