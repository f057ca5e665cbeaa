"""Each statement of the corpus gets exactly the findings that it must; waivers, sizes and documentation hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rdskit.evolve.migrations.files import read_file
from rdskit.evolve.migrations.lint import RULES, lint_migrations, lint_sql
from rdskit.reports import Severity
from tests.evolve.lint.corpus import MY, PG

PAGE = Path(__file__).resolve().parents[3] / "docs/lint.md"


def found(text: str, product: str) -> set[str]:
    transactional = not text.startswith("-- no transaction")
    findings = lint_sql("m.sql", text, product, transactional=transactional)
    return {finding.rule for finding in findings if finding.severity is not Severity.NOTE}


@pytest.mark.parametrize(("text", "rules"), PG, ids=lambda value: value[:60] if isinstance(value, str) else "")
def test_postgres(text: str, rules: set[str]) -> None:
    assert found(text, "postgres") == rules


@pytest.mark.parametrize("product", ["mysql", "mariadb"])
@pytest.mark.parametrize(("text", "rules"), MY, ids=lambda value: value[:60] if isinstance(value, str) else "")
def test_mysql(text: str, rules: set[str], product: str) -> None:
    assert found(text, product) == rules


def test_every_rule_fires_somewhere_in_the_corpus() -> None:
    fired = {rule for _, rules in (*PG, *MY) for rule in rules}
    notes = {rule.id for rule in RULES if rule.severity is Severity.NOTE}
    assert fired == {rule.id for rule in RULES} - notes
    assert len({rule.id for rule in RULES}) == len(RULES)
    for family in ("postgres", "mysql", "mariadb"):
        assert sum(family in rule.products for rule in RULES) >= 15


def test_a_row_written_behind_ddl_that_commits_is_noted() -> None:
    text = "create table t (id bigint primary key); insert into t values (1)"
    assert [each.rule for each in lint_sql("m.sql", text, "mysql")] == ["mixed-commit"]
    assert lint_sql("m.sql", text, "postgres") == []


def test_a_waiver_needs_a_reason_and_stands_above_its_statement(tmp_path: Path) -> None:
    file = tmp_path / "20261130_1200_a.sql"
    file.write_text(
        "-- up\n-- waive drop-column: not read since May\nalter table users drop column age;\ndrop table notes;\n"
    )
    findings = lint_migrations([read_file(file, "postgres")], "postgres")
    assert [(each.rule, each.counts) for each in findings] == [("drop-column", False), ("drop-table", True)]
    assert findings[0].waiver is not None
    assert findings[0].waiver.reason == "not read since May"
    assert str(findings[1].place) == f"{file}:4"


def test_a_small_table_is_only_noted_and_a_large_one_is_named_with_its_rows() -> None:
    text = "alter table users alter column age set not null"
    small, large = (lint_sql("m.sql", text, "postgres", rows={"users": rows})[0] for rows in (50, 5_000_000))
    assert (small.severity, large.severity) == (Severity.NOTE, Severity.ERROR)
    assert large.evidence == {"rows": 5_000_000}


def test_a_python_file_is_undecided_and_not_fine(tmp_path: Path) -> None:
    file = tmp_path / "20261130_1200_a.py"
    file.write_text("async def up(tx): ...\n")
    (finding,) = lint_migrations([read_file(file, "postgres")], "postgres")
    assert finding.unknown


def test_every_rule_is_documented() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(), re.MULTILINE)) == {rule.id for rule in RULES}
