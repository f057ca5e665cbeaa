"""Hold new and changed files to plain English: no word of the list below, and docstrings that open with a verb.

Usage: python tools/prose.py [--update]        Prints each breach; exit status 1 when there is one.

``tools/prose_allowance.txt`` says how many breaches each older file may still have. A file that is not in it may have
none, so whatever is new, moved or renamed is clean. ``--update`` lowers the allowances to what is there, and never
raises one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALLOWANCE = ROOT / "tools/prose_allowance.txt"
FOLDERS = ("src", "tests", "bench", "examples", "tools", "docs")
#: This file and its test quote the words.
EXEMPT = frozenset({"tools/prose.py", "tests/house/test_prose.py"})

#: Words of the glossary's right column and archaic words, each with what to write instead.
WORDS = {
    "whoever": "the caller, the client",
    "whom": "the component's name",
    "nobody": "no one, or the component's name",
    "somebody": "a caller, a client",
    "anybody": "any caller",
    "anew": "again, new",
    "in vain": "without success",
    "shall": "must, should",
    "meanwhile": "in the meantime, while …",
    "thereupon": "then",
    "whence": "from where",
    "hears of": "receives, is notified",
    "heard of": "received",
    "hear of": "receive",
    "is told": "receives, is notified",
    "are told": "receive",
    "be told": "receive",
    "was told": "received",
    "were told": "received",
    "told apart": "distinguished",
    "seen to": "handled",
    "sees to": "handles",
    "goodbye": "close, quit message",
    "dial": "connect",
    "dials": "connects",
    "dialled": "connected",
    "dialing": "connecting",
    "dialling": "connecting",
    "lend": "check out, lease",
    "lends": "checks out",
    "lent": "checked out, leased",
    "of its own accord": "by itself",
}
_LISTED = re.compile(rf"\b({'|'.join(map(re.escape, sorted(WORDS, key=len, reverse=True)))})\b", re.IGNORECASE)


def texts() -> list[Path]:
    """Return every file that is read by people, relative to the checkout."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".md"}]
    found += sorted(ROOT.glob("*.md"))
    relative = (path.relative_to(ROOT) for path in found)
    return [path for path in sorted(relative) if str(path) not in EXEMPT]


def listed_words(path: Path) -> list[tuple[int, str]]:
    """Return line and word of each listed word in a file."""
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return [(number, match[0]) for number, line in enumerate(lines, 1) for match in _LISTED.finditer(line)]


def openings() -> dict[str, list[int]]:
    """Return, by file, the lines of docstrings that do not open with a verb in the imperative (ruff's D401)."""
    folders = [folder for folder in FOLDERS if any((ROOT / folder).rglob("*.py"))]
    command = [sys.executable, "-m", "ruff", "check", "--quiet", "--no-cache", "--output-format=json", "--exit-zero"]
    command += ["--config", "lint.per-file-ignores={}", "--select=D401", *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, list[int]] = {}
    for each in json.loads(done.stdout):
        path = str(Path(each["filename"]).relative_to(ROOT))
        found.setdefault(path, []).append(each["location"]["row"])
    return found


def allowances() -> Counter[str]:
    """Return how many breaches each older file may have."""
    if not ALLOWANCE.exists():
        return Counter()
    rows = (line.split(maxsplit=1) for line in ALLOWANCE.read_text(encoding="utf-8").splitlines())
    return Counter({path: int(count) for count, path in rows})


def breaches() -> dict[str, list[str]]:
    """Return each breach, by file."""
    found: dict[str, list[str]] = {}
    opened = openings()
    for path in map(str, texts()):
        words = [f"{path}:{line}: {word!r}: write {WORDS[word.lower()]}" for line, word in listed_words(Path(path))]
        moods = [f"{path}:{line}: open the docstring with a verb: 'Return …'" for line in opened.get(path, ())]
        if words or moods:
            found[path] = words + moods
    return found


def update(found: dict[str, list[str]]) -> None:
    """Lower the allowances to what is there; the first call records all."""
    allowed, first = allowances(), not ALLOWANCE.exists()
    rows = [(path, len(each) if first else min(len(each), allowed[path])) for path, each in sorted(found.items())]
    ALLOWANCE.write_text("".join(f"{count} {path}\n" for path, count in rows if count), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Compare every file with its allowance; print what is over it."""
    found = breaches()
    if arguments == ["--update"]:
        update(found)
    allowed = allowances()
    over = {path: each for path, each in found.items() if len(each) > allowed[path]}
    for path, each in over.items():
        print(f"{path}: {len(each)} breaches of plain English, {allowed[path]} allowed:")
        print("".join(f"  {breach}\n" for breach in each), end="")
    if not over:
        print(f"prose: {sum(map(len, found.values()))} breaches left in older files, none in new ones")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
