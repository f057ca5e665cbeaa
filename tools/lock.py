"""Turn ``requirements/*.in`` into ``requirements/*.txt``: exact pins of everything, and nothing else.

Usage: .venv/bin/python tools/lock.py [--upgrade]

pip itself resolves, so the lock is what ``pip install`` would choose. Without ``--upgrade`` the present pins hold
where they still fit. The lock is made with the oldest supported Python, which needs every backport.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
PROJECT = "rdskit"


def resolve(source: Path, constraints: Path | None) -> list[dict[str, Any]]:
    """Ask pip what it would install into an empty environment."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--no-cache-dir", "--disable-pip-version-check", "--report", str(report), "-r", str(source)]
        command += ["-c", str(constraints)] if constraints else []
        subprocess.run(command, check=True, cwd=ROOT)
        installed: list[dict[str, Any]] = json.loads(report.read_text())["install"]
        return installed


def pins(installed: list[dict[str, Any]]) -> list[str]:
    """One ``name==version`` for each distribution, sorted, without the project itself."""
    found = {normal(entry["metadata"]["name"]): entry["metadata"]["version"] for entry in installed}
    return [f"{name}=={found[name]}" for name in sorted(found) if name != PROJECT]


def normal(name: str) -> str:
    """Spell a distribution's name the way every index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lock(source: Path, *, upgrade: bool) -> Path:
    """Write the lock file that belongs to ``source``."""
    target = source.with_suffix(".txt")
    present = target if target.exists() and not upgrade else None
    lines = pins(resolve(source, present))
    header = f"# Made by tools/lock.py from {source.name}; edit that, not this."
    target.write_text("\n".join([header, *lines]) + "\n")
    return target


def main() -> int:
    """Lock every ``requirements/*.in``."""
    parser = argparse.ArgumentParser(description="Pin everything in requirements/*.in.")
    parser.add_argument("--upgrade", action="store_true", help="forget the present pins")
    upgrade: bool = parser.parse_args().upgrade
    if sys.version_info[:2] != OLDEST:
        print(f"lock: run me with Python {OLDEST[0]}.{OLDEST[1]}, the oldest that is supported", file=sys.stderr)
        return 2
    for source in sorted(ROOT.glob("requirements/*.in")):
        print(lock(source, upgrade=upgrade).relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
