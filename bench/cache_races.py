"""Whether a cache serves old rows after a write was acknowledged: a storm on cashews, and on ours.

No server is struck, and nothing is cancelled more than usual: the reads of two processes race with their writes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rdskit.local.engines.postgres.throwaway import throwaway_postgres
from rdskit.local.engines.valkey.server import throwaway_valkey

ROOT = Path(__file__).resolve().parent.parent
STORM = """
import asyncio, json, sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from tests.scale.cache.storm.storm import storm
url, redis, folder, subject, steps = sys.argv[1:]
run = storm(url, SimpleNamespace(url=redis), Path(folder), steps=int(steps), seed="1", subject=subject)
print(json.dumps([asdict(result) for result in asyncio.run(run)]))
"""


def stale_reads(subject: str, steps: int) -> tuple[int, int, str]:
    """Run a storm on fresh servers; return its reads, how many were stale, and an example."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        folder.chmod(0o755)
        with throwaway_postgres(folder / "db") as postgres, throwaway_valkey(folder / "cache") as valkey:
            words = [postgres.dsn.partition("?")[0], valkey.url, str(folder), subject, str(steps)]
            done = subprocess.run(
                [sys.executable, "-c", STORM, *words], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
            )
    results = json.loads(done.stdout)
    stale = [each for result in results for each in result["stale"]]
    return sum(result["reads"] for result in results), len(stale), stale[0] if stale else ""


def main() -> int:
    """Run both, print, and say whether the storm finds the race of cashews and none of ours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000, help="steps of each storm (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options, _ = parser.parse_known_args()  # `make bench ARGS=…` passes the options of timings too
    found = {subject: stale_reads(subject, options.steps) for subject in ("cashews", "ours")}
    for subject, (reads, stale, example) in found.items():
        print(f"{subject}: {stale} stale of {reads} reads {example}".rstrip())
    if options.json:
        options.json.write_text(json.dumps({subject: stale for subject, (_, stale, _) in found.items()}) + "\n")
    return 0 if found["cashews"][1] and not found["ours"][1] else 1


if __name__ == "__main__":
    sys.exit(main())
