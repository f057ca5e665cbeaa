"""Hold the code to the house rules that no linter knows: sizes, and no broad handler that stays silent.

Usage: python tools/house_rules.py FOLDER...        Prints each breach; exit status 1 when there is one.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_LINES = 500
FUNCTION_LINES = 80
BROAD = frozenset({"Exception", "BaseException"})


@dataclass(frozen=True, slots=True)
class Source:
    """One parsed file."""

    path: Path
    lines: int
    tree: ast.Module


def sources(folders: list[Path]) -> list[Source]:
    """Parse every Python file below the folders."""
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    texts = [(path, path.read_text(encoding="utf-8")) for path in paths]
    return [Source(path, text.count("\n"), ast.parse(text, str(path))) for path, text in texts]


def functions(source: Source) -> Iterator[tuple[str, int, int]]:
    """Name, first line and length of each function."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1


def catches_all(expression: ast.expr | None) -> bool:
    """Whether an ``except`` clause or a ``suppress`` argument names everything."""
    if expression is None:
        return True
    return any(isinstance(node, ast.Name) and node.id in BROAD for node in ast.walk(expression))


def does_nothing(statement: ast.stmt) -> bool:
    """Whether a handler's statement neither logs, nor raises, nor decides."""
    if isinstance(statement, ast.Return | ast.Expr):
        return statement.value is None or isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass | ast.Continue)


def is_silent(node: ast.AST) -> bool:
    """Whether a node swallows every error without a trace."""
    if isinstance(node, ast.ExceptHandler):
        return catches_all(node.type) and all(does_nothing(statement) for statement in node.body)
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return called == "suppress" and any(catches_all(argument) for argument in node.args)
    return False


def breaches_of(source: Source) -> Iterator[str]:
    """Each breach that one file holds."""
    if source.lines > FILE_LINES:
        yield f"{source.path}: {source.lines} lines (at most {FILE_LINES}): split it by subject"
    for name, line, length in functions(source):
        if length > FUNCTION_LINES:
            yield f"{source.path}:{line}: {name} has {length} lines (at most {FUNCTION_LINES})"
    for node in ast.walk(source.tree):
        if is_silent(node):
            line = getattr(node, "lineno", 0)
            yield f"{source.path}:{line}: a broad handler that says nothing: name the error, or log it"


def main(arguments: list[str]) -> int:
    """Check the folders; print the breaches."""
    found = sources([Path(argument) for argument in arguments])
    breaches = [breach for source in found for breach in breaches_of(source)]
    for breach in breaches:
        print(breach)
    if not breaches:
        print(f"house rules: {len(found)} files, {sum(source.lines for source in found)} lines, no breach")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
