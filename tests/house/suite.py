"""A small suite that runs under the rules of ours."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.plugins.isolation import ON_DISK

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
    """Run a test file under the rules, as a suite of its own; or several files, by name.

    The rules follow code inside the checkout alone, so the files are there, under the name of ``folder``.
    """
    inside = ON_DISK / str(os.getpid()) / folder.name
    inside.mkdir(parents=True)
    try:
        files = {"inner": code} if isinstance(code, str) else code
        for name, text in files.items():
            (inside / f"test_{name}.py").write_text(text)
        return _run(inside, *options, **environment)
    finally:
        shutil.rmtree(inside)
        with contextlib.suppress(OSError):  # it holds the rest of this run where that is on the disk
            inside.parent.rmdir()


def _run(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
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
