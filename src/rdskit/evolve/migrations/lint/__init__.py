"""Lint migrations for statements that would block production: rules for PostgreSQL, MySQL and MariaDB."""

from rdskit.evolve.migrations.lint.check import lint_migrations, lint_sql
from rdskit.evolve.migrations.lint.rules import RULES, Rule

__all__ = ["RULES", "Rule", "lint_migrations", "lint_sql"]
