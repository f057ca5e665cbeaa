"""Both type checkers accept what an application rightly writes, and refuse each line that is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]

pytestmark = pytest.mark.no_server


def mypy(folder: Path) -> set[tuple[str, int]]:
    """Return file and line of each error that mypy reports."""
    cache = ROOT / ".mypy_cache/types"
    found = run(folder, "-m", "mypy", "--strict", "--output", "json", "--cache-dir", str(cache), ".").splitlines()
    errors = (json.loads(line) for line in found)
    return {(Path(each["file"]).name, each["line"]) for each in errors if each["severity"] == "error"}


def pyright(folder: Path) -> set[tuple[str, int]]:
    """Return file and line of each error that pyright reports."""
    # Without "exclude" it looks into no folder below one whose name begins with a dot, as that of pytest here.
    settings = {"include": ["*.py"], "exclude": ["none"], "typeCheckingMode": "standard"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    words = ["--outputjson", "--level", "error", "--pythonpath", sys.executable]
    found = json.loads(run(folder, "-m", "basedpyright", *words))["generalDiagnostics"]
    return {(Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in found}


def run(folder: Path, *words: str) -> str:
    """Run a checker outside the repository, whose own settings are not an application's."""
    ended = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode in {0, 1}, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_checker_refuses_the_wrong_lines_and_no_other(
    checker: Callable[[Path], set[tuple[str, int]]], tmp_path: Path
) -> None:
    (tmp_path / "accepted.py").write_text((FOLDER / "accepted.py").read_text())
    wrong = (FOLDER / "refused.txt").read_text()
    (tmp_path / "refused.py").write_text(wrong)
    expected = {("refused.py", n) for n, line in enumerate(wrong.splitlines(), 1) if line.endswith("# refused")}
    assert checker(tmp_path) == expected
