"""A small suite that runs under the rules of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = [
    f"tests.plugins.{name}"
    for name in (
        "hangs",
        "isolation",
        "speeds",
        "budgets",
        "breaches",
        "confidentiality",
        "leftovers",
        "skips",
        "tasks",
    )
]


def run_suite(
    folder: Path, code: str | Mapping[str, str], *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a test file under the rules, as a suite of its own; or several files, by name."""
    files = {"inner": code} if isinstance(code, str) else code
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    command += [word for plugin in PLUGINS for word in ("-p", plugin)] + ["-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *options, str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
