"""The house rules bite: each kind of breach is found, and the code as it is has none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.no_server

ROOT = Path(__file__).resolve().parents[2]


def breaches(folder: Path, code: str) -> str:
    (folder / "module.py").write_text(code)
    command = [sys.executable, str(ROOT / "tools/house_rules.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if "no breach" in done.stdout else 1)
    return done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    pass\nexcept Exception:\n    pass\n",
        "try:\n    pass\nexcept:\n    ...\n",
        "for x in ():\n    try:\n        pass\n    except (ValueError, Exception):\n        continue\n",
        "def f():\n    try:\n        pass\n    except BaseException:\n        return None\n",
        "import contextlib\nwith contextlib.suppress(Exception):\n    pass\n",
    ],
)
def test_a_broad_handler_that_says_nothing_is_found(tmp_path: Path, code: str) -> None:
    assert "a broad handler that says nothing" in breaches(tmp_path, code)


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    pass\nexcept ValueError:\n    pass\n",
        "try:\n    pass\nexcept Exception as error:\n    raise RuntimeError from error\n",
        "import contextlib\nwith contextlib.suppress(OSError):\n    pass\n",
    ],
)
def test_a_handler_that_names_its_error_or_does_something_is_fine(tmp_path: Path, code: str) -> None:
    assert "no breach" in breaches(tmp_path, code)


def test_sizes_are_bounded(tmp_path: Path) -> None:
    assert "501 lines (at most 500)" in breaches(tmp_path, "x = 1\n" * 501)
    long = "def f():\n" + "    x = 1\n" * 80
    assert "f has 81 lines (at most 80)" in breaches(tmp_path, long)
