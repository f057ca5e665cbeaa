"""The rules of plain English bite: a listed word and a docstring that opens with a noun are found in a new file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools/prose.py"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "tools").mkdir()
    (tmp_path / "src").mkdir()
    shutil.copy(TOOL, tmp_path / "tools/prose.py")
    return tmp_path


def check(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(checkout / "tools/prose.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_listed_word_is_refused_with_what_to_write_instead(checkout: Path) -> None:
    (checkout / "src/new.py").write_text('"""Close the pool."""\n# whoever waits gets an error\n')
    done = check(checkout)
    assert done.returncode == 1
    assert "src/new.py:2: 'whoever': write the caller, the client" in done.stdout


def test_a_docstring_opens_with_a_verb(checkout: Path) -> None:
    (checkout / "src/new.py").write_text('"""One module."""\n\n\ndef size():\n    """The size."""\n')
    done = check(checkout)
    assert done.returncode == 1
    assert "src/new.py:5: open the docstring with a verb" in done.stdout


def test_an_older_file_keeps_its_allowance_and_may_only_improve(checkout: Path) -> None:
    older = checkout / "src/older.py"
    older.write_text('"""Close."""\n# whoever\n# nobody\n')
    assert check(checkout, "--update").returncode == 0
    assert check(checkout).returncode == 0

    older.write_text('"""Close."""\n# whoever\n')
    assert check(checkout, "--update").returncode == 0
    older.write_text('"""Close."""\n# whoever\n# nobody\n')
    assert check(checkout).returncode == 1
    assert check(checkout, "--update").returncode == 1, "an allowance is never raised"
