"""Lint beside squawk on the labelled corpus of PostgreSQL statements: recall and precision.

Usage: python bench/lint.py [--json]

A statement counts as flagged if any rule fires, and as bad if the corpus says so. Of squawk, rules of style and those
that ask for a setting (lock and statement time-outs, ``if not exists``, ``text`` instead of ``varchar``, naming) do not
count: the corpus labels what blocks or breaks, and rdskit sets the time-outs itself. The corpus is ours, so the figures
say how the two differ on it, not how either does elsewhere; statements on which they differ are printed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rdskit.evolve.migrations.lint import lint_sql  # noqa: E402 - the path comes first
from rdskit.reports import Severity  # noqa: E402
from tests.evolve.lint.corpus import PG  # noqa: E402

STYLE = {
    "prefer-robust-stmts",
    "require-lock-timeout",
    "require-statement-timeout",
    "require-timeout-settings",
    "prefer-text-field",
    "prefer-bigint-over-int",
    "prefer-bigint-over-smallint",
    "prefer-timestamptz",
    "prefer-identity",
    "prefer-repack",
    "ban-char-field",
    "ban-drop-not-null",
    "transaction-nesting",
    "require-table-schema",
    "ban-uncommitted-transaction",
    "require-enum-value-ordering",
}


def ours(text: str) -> bool:
    """Return whether a rule of rdskit fires."""
    findings = lint_sql("m.sql", text, "postgres", transactional=not text.startswith("-- no transaction"))
    return any(each.severity is not Severity.NOTE for each in findings)


def squawk(program: str, text: str) -> set[str]:
    """Return the rules of squawk that fire and count."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(text + ";\n")
        file.flush()
        inside = [] if text.startswith("-- no transaction") else ["--assume-in-transaction"]
        command = [program, "--reporter", "json", "--no-error-on-unmatched-pattern", *inside, file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {each["rule_name"] for each in json.loads(done.stdout or "[]")} - STYLE


def figures(flags: list[bool]) -> dict[str, float]:
    """Return recall and precision over the corpus."""
    bad = [bool(rules) for _, rules in PG]
    hits = sum(flag and label for flag, label in zip(flags, bad, strict=True))
    return {"recall": hits / sum(bad), "precision": hits / max(1, sum(flags))}


def main(arguments: list[str]) -> int:
    """Compare and print; exit status 1 if ours misses a bad statement."""
    program = shutil.which("squawk", path=str(Path(sys.executable).parent)) or shutil.which("squawk")
    flags = {"rdskit": [ours(text) for text, _ in PG]}
    fired: list[set[str]] = []
    if program is not None:
        fired = [squawk(program, text) for text, _ in PG]
        flags["squawk"] = [bool(rules) for rules in fired]
    told = {name: figures(each) for name, each in flags.items()}
    if "--json" in arguments:
        print(json.dumps({"statements": len(PG), "bad": sum(bool(rules) for _, rules in PG), **told}))
        return 0
    print(f"{len(PG)} statements, {sum(bool(rules) for _, rules in PG)} of them bad")
    for name, each in told.items():
        print(f"{name:<8} recall {each['recall']:.2f}  precision {each['precision']:.2f}")
    for index, (text, rules) in enumerate(PG):
        if fired and bool(fired[index]) != bool(rules):
            line = " ".join(text.split())[:90]
            print(f"squawk differs: {line}  label {sorted(rules)}  squawk {sorted(fired[index])}")
    return 0 if told["rdskit"]["recall"] == 1.0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
