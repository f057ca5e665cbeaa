"""The shared fixtures and the rules of the whole suite, one theme a file in ``tests/plugins``."""

from __future__ import annotations

pytest_plugins = [
    "tests.plugins.hangs",
    "tests.plugins.isolation",
    "tests.plugins.speeds",
    "tests.plugins.budgets",
    "tests.plugins.breaches",
    "tests.plugins.confidentiality",
    "tests.plugins.leftovers",
    "tests.plugins.skips",
    "tests.plugins.tasks",
    "tests.plugins.postgres",
    "tests.plugins.mysql_family",
    "tests.plugins.local_rds",
    "tests.plugins.valkey",
]
