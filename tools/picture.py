"""Take the picture out of a demo's report, for the README.

Usage: python tools/picture.py demo-report.html docs/demo.svg
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Write the report's one SVG to a file of its own."""
    if len(arguments) != 2:  # noqa: PLR2004 - source and target
        print(__doc__, file=sys.stderr)
        return 2
    source, target = (Path(argument) for argument in arguments)
    found = re.search(r"<svg .*?</svg>", source.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        print(f"{source} holds no picture: is it a report of `rdskit demo`?", file=sys.stderr)
        return 1
    target.write_text(found[0] + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
