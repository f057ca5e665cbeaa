"""The walks of docs/architecture.md name files, classes and functions that exist."""

from __future__ import annotations

import ast
import re

from tests.docs.pages import ROOT

TEXT = (ROOT / "docs/architecture.md").read_text()
NAMED = re.findall(r"`([\w/]+\.py)(?:::([\w.]+))?`", TEXT)


def names(tree: ast.Module | ast.ClassDef) -> dict[str, ast.stmt]:
    """Return what a module or a class defines, by name."""
    found: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = node
    return found


def is_there(file: str, dotted: str) -> bool:
    """Return whether a file defines a name such as ``Pool.take``."""
    within: ast.Module | ast.ClassDef = ast.parse((ROOT / "src/rdskit" / file).read_text())
    for part in filter(None, dotted.split(".")):
        found = names(within).get(part)
        if found is None:
            return False
        if isinstance(found, ast.ClassDef):
            within = found
    return True


def test_every_name_exists() -> None:
    assert len(NAMED) > 30
    generic = {"model.py", "policy.py", "service.py", "room/file.py"}
    assert [f"{file}::{name}" for file, name in NAMED if file not in generic and not is_there(file, name)] == []


def test_every_room_is_on_a_floor() -> None:
    rooms = {path.name for path in (ROOT / "src/rdskit").iterdir() if (path / "__init__.py").exists()}
    table = TEXT.split("## Floors")[1].split("##")[0]
    assert {room for room in rooms if f"`{room}/`" not in table} == set()


def test_the_files_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`([\w./]+/[\w./]*\w)(?:::(\w+))?`", text)
    assert len(named) > 15
    missing = [
        file
        for file, name in named
        if not file.startswith("build/")
        and not any(
            (root / file).exists() and (not name or is_there(file, name)) for root in (ROOT, ROOT / "src/rdskit")
        )
    ]
    assert missing == []
