"""Ask a database of vulnerabilities about every pin in ``requirements/*.txt``.

Usage: .venv/bin/python tools/audit.py [--service pypi|osv|offline] [--osv-url URL]

The default is PyPI's own JSON API, and ``osv`` is OSV; each needs a network. ``offline`` asks
``tools/advisories.json``, which CI does in every run; it knows nothing newer than the day that it prints. Exit status:
0 nothing found, 1 vulnerabilities, 2 the database did not answer for every pin, so that nothing is known.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools import advisories

ROOT = Path(__file__).resolve().parent.parent
SERVICES = {"pypi": "PyPI's JSON API", "osv": "OSV", "offline": "tools/advisories.json"}


def verdict(status: int, output: str, errors: str, database: str) -> tuple[int, list[str]]:
    """Read what pip-audit said.

    Args:
        status: its exit status.
        output: its JSON; empty where it broke off.
        errors: its log.
        database: which one it asked.

    Returns:
        The exit status of this program, and the lines to print.
    """
    try:
        pins = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        said = [line.strip() for line in errors.splitlines() if line.strip() and not line.startswith("WARNING")]
        reason = said[-1][:300] if said else f"pip-audit ended with status {status}"
        return 2, [f"audit: {database} did not answer for every pin, so nothing is known: {reason}"]
    if unknown := [pin["name"] for pin in pins if "skip_reason" in pin]:
        return 2, [f"audit: {database} does not know {len(unknown)} of {len(pins)} pins: {', '.join(unknown[:5])}"]
    found = [
        f"{pin['name']} {pin['version']}: {each['id']}, fixed in {', '.join(each['fix_versions']) or 'no version'}"
        for pin in pins
        for each in pin["vulns"]
    ]
    return (1 if found else 0), [*found, f"audit: {len(pins)} pins, {len(found)} vulnerabilities known to {database}"]


def main() -> int:
    """Run pip-audit over all locks."""
    parser = argparse.ArgumentParser(description="Audit the pins in requirements/*.txt.")
    parser.add_argument("--service", choices=sorted(SERVICES), default="pypi")
    parser.add_argument("--osv-url", help="the query URL of another server that speaks OSV's protocol")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        database, url = SERVICES[given.service], given.osv_url
        if given.service == "offline":
            content = json.loads(advisories.FILE.read_text(encoding="utf-8"))
            database, url = content["source"], stack.enter_context(advisories.served(content))
        locks = [argument for lock in sorted(ROOT.glob("requirements/*.txt")) for argument in ("-r", str(lock))]
        command = [sys.executable, "-m", "pip_audit", *locks, "--no-deps", "--disable-pip", "--strict"]
        command += ["--progress-spinner", "off", "--format", "json"]
        command += ["--vulnerability-service", "pypi" if given.service == "pypi" else "osv"]
        command += ["--osv-url", url] if url else []
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    status, lines = verdict(run.returncode, run.stdout, run.stderr, database)
    print("\n".join(lines), file=sys.stderr if status == 2 else sys.stdout)  # noqa: PLR2004 - see above
    return status


if __name__ == "__main__":
    sys.exit(main())
