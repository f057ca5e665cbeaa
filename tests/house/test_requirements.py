"""The locks pin everything, name no host, and hold what the project declares."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def pinned(lock: Path) -> dict[str, str]:
    lines = [line for line in lock.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [each for extra in project["optional-dependencies"].values() for each in extra]
    names = {re.split(r"[\[<>=!~ ;]", each)[0] for each in wanted}
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names} - {"rdskit"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_line_is_an_exact_pin(lock: Path) -> None:
    lines = [line for line in lock.read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][\w.+!]*", line)] == []
    assert len(lines) == len(pinned(lock))


def test_there_is_a_lock_for_each_source() -> None:
    assert [lock.stem for lock in LOCKS] == sorted(path.stem for path in (ROOT / "requirements").glob("*.in"))


def test_what_the_project_declares_is_pinned() -> None:
    assert declared() <= pinned(ROOT / "requirements/dev.txt").keys()


def test_the_benchmarks_lock_agrees_with_the_other_one() -> None:
    assert pinned(ROOT / "requirements/dev.txt").items() <= pinned(ROOT / "requirements/bench.txt").items()
