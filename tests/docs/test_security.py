"""Each attack that the security page names is run by a test that exists."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT


def found(name: str) -> bool:
    """Return whether a test is there, named as ``[folder/]file.py[::beginning_of_a_function]``."""
    file, _, function = name.partition("::")
    paths = [ROOT / file] if "/" in file else list((ROOT / "tests").rglob(file))
    return any(path.exists() and f"def {function or 'test_'}" in path.read_text() for path in paths)


def test_every_attack_has_its_tests() -> None:
    text = (ROOT / "docs/security.md").read_text()
    rows = re.findall(r"^\| (?!attack|---)(.+?) \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) >= 20
    for attack, tests in rows:
        names = re.findall(r"`((?:tests/)?[\w/]*test_\w+\.py(?:::\w+)?)`", tests)
        assert names, attack
        assert [name for name in names if not found(name)] == [], attack
