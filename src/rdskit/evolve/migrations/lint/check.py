"""Run the rules on migrations, and on SQL from other sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.evolve.migrations.ddl import read_ddl
from rdskit.evolve.migrations.lint.case import Case, added_column
from rdskit.evolve.migrations.lint.rules import RULES
from rdskit.evolve.migrations.model import Statement
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.split import split
from rdskit.reports import Finding, Place, Severity, Waiver

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rdskit.evolve.migrations.model import Migration

_SMALL = 10_000  # rows: a table that is read or copied in a moment


def lint_migrations(
    migrations: Iterable[Migration], product: str, rows: Mapping[str, int] | None = None
) -> list[Finding]:
    """Return what is wrong with migrations, waived findings included.

    Args:
        migrations: SQL files; Python files count as undecided.
        product: ``postgres``, ``mysql`` or ``mariadb``.
        rows: estimated rows of the target's tables, by name; None where there is no target.
    """
    found: list[Finding] = []
    for migration in migrations:
        path = str(migration.path)
        if migration.up is None:
            place = Place(path)
            message = "a Python file: what it sends is not known before it runs"
            found.append(Finding("python-migration", Severity.NOTE, path, message, place=place, unknown=True))
            continue
        script = migration.up
        found += _lint(path, script.statements, product, rows or {}, transactional=script.transactional)
    return found


def lint_sql(
    path: str, text: str, product: str, *, transactional: bool = True, rows: Mapping[str, int] | None = None
) -> list[Finding]:
    """Return what is wrong with plain SQL text.

    Args:
        path: where it comes from, for the findings.
        text: statements ended by semicolons.
        product: ``postgres``, ``mysql`` or ``mariadb``.
        transactional: whether it runs in one transaction.
        rows: as for ``lint_migrations``.

    Raises:
        ConfigError: a quote or comment is opened and never closed.
    """
    dialect = Dialect.POSTGRES if product == "postgres" else Dialect.MYSQL
    statements = [Statement(each, text.count("\n", 0, offset) + 1) for each, offset in split(text, dialect)]
    return _lint(path, statements, product, rows or {}, transactional=transactional)


def _lint(
    path: str, statements: Sequence[Statement], product: str, rows: Mapping[str, int], *, transactional: bool
) -> list[Finding]:
    dialect = Dialect.POSTGRES if product == "postgres" else Dialect.MYSQL
    rules = [rule for rule in RULES if product in rule.products]
    tables: set[str] = set()
    columns: set[str] = set()
    found: list[Finding] = []
    for statement in statements:
        ddl = read_ddl(statement.text, dialect)
        size = rows.get(ddl.table.lower()) if ddl is not None and ddl.table else None
        new = (frozenset(tables), frozenset(columns))
        case = Case(statement.text, ddl, product, transactional, *new, rows=size)
        for rule in rules:
            message = rule.check(case)
            if message is not None:
                finding = Finding(
                    rule.id,
                    _weight(rule.severity, size),
                    f"table {ddl.table}" if ddl is not None and ddl.table else path,
                    message,
                    {} if size is None else {"rows": size},
                    rule.remedy,
                    Place(path, statement.line),
                )
                found.append(_waived(finding, statement))
        if ddl is not None and (ddl.verb, ddl.kind) == ("create", "table") and ddl.table:
            tables.add(ddl.table)
        columns.update(_added(case))
    return found


def _weight(severity: Severity, rows: int | None) -> Severity:
    """Return a rule's severity for a table of this size: what blocks a small table blocks it for a moment only."""
    return Severity.NOTE if rows is not None and rows < _SMALL and severity is Severity.ERROR else severity


def _waived(finding: Finding, statement: Statement) -> Finding:
    reason = statement.waivers.get(finding.rule)
    if reason is None:
        return finding
    return Finding(
        finding.rule,
        finding.severity,
        finding.subject,
        finding.message,
        finding.evidence,
        finding.remedy,
        finding.place,
        waiver=Waiver(reason),
    )


def _added(case: Case) -> Iterator[str]:
    for action in case.actions():
        column = added_column(action)
        if column is not None and case.ddl is not None:
            yield f"{case.ddl.table}.{column[0]}"
