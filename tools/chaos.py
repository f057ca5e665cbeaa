"""A storm of random faults over a local RDS under load: what does the application lose?

Usage: .venv/bin/python tools/chaos.py [--engine ENGINE...] [--minutes M] [--seed S] [--json FILE] [--data FOLDER]

The same seed strikes in the same way again. Exit status 1 when a promise was broken: see docs/testing.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the storm is the test suite's

from tests.chaos.storm.site import ENGINES, Site
from tests.chaos.storm.storm import Report, storm
from tests.plugins.local_rds import running


def main() -> int:
    """Let each engine have its storm, and say what it cost."""
    parser = argparse.ArgumentParser(description="Random faults over a local RDS under load.")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="may be repeated; all by default")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long each engine is struck")
    parser.add_argument("--seed", type=int, help="repeats an earlier storm; drawn by default")
    parser.add_argument("--json", type=Path, help="write the reports there")
    parser.add_argument("--data", type=Path, help="a new folder that keeps the servers' data and the local RDS's log")
    options = parser.parse_args()
    seed = random.randrange(2**32) if options.seed is None else options.seed  # noqa: S311 - chance, not a secret
    reports = []
    for engine in options.engine or ENGINES:
        reports.append(unleash(engine, seed, options.minutes * 60, options.data))
        print(reports[-1], flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps([report.as_dict() for report in reports], indent=1))
    return 1 if any(report.violations for report in reports) else 0


def unleash(engine: str, seed: int, seconds: float, data: Path | None) -> Report:
    """One storm on a local RDS of its own, whose data directory is kept where one is given."""
    print(f"{engine}: seed {seed}", flush=True)
    with contextlib.ExitStack() as stack:
        folder = data / engine if data else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rdskit-")))
        folder.mkdir(parents=True, exist_ok=data is None)
        site = Site(stack.enter_context(running(folder)), engine)
        site.create()
        return asyncio.run(storm(site, seed=seed, seconds=seconds))


if __name__ == "__main__":
    sys.exit(main())
