"""The documentation as text: its pages, their links, and the blocks that claim to run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(r"^```(?P<language>\w+)(?P<runnable> runnable)?\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)#\s]+)(#[^)]*)?\)")


@dataclass(frozen=True, slots=True)
class Block:
    """One runnable block of a page."""

    page: Path
    line: int
    language: str
    code: str


def runnable_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page that claim to run, in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["language"], found["code"])
        for found in _BLOCK.finditer(text)
        if found["runnable"]
    ]


def local_links(page: Path) -> list[Path]:
    """Return the files that a page links to."""
    targets = (found["target"] for found in _LINK.finditer(page.read_text(encoding="utf-8")))
    return [(page.parent / target).resolve() for target in targets if "://" not in target]
