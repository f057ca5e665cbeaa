"""A Django project with its own tests, run by Django's runner in a process of its own, on three engines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

ROOT = Path(__file__).resolve().parents[3]
ENGINES = {"postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql"}


def entry(engine: str, database: TestDatabase | FamilyDatabase, **options: Any) -> dict[str, Any]:
    """Return an entry of DATABASES."""
    return {
        "ENGINE": f"rdskit.integrations.django.{ENGINES[engine]}",
        "HOST": database.host,
        "PORT": database.port,
        "USER": database.user,
        "PASSWORD": database.password,
        "NAME": database.name,
        "OPTIONS": {"tls": "off", **options},
    }


def django(databases: dict[str, Any], *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``django-admin`` on the project."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "tests.integrations.django.project.settings",
        "PROJECT_DATABASES": json.dumps(databases),
    }
    command = [sys.executable, "-W", "error", "-m", "django", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(params=["postgres", "mysql", "mariadb"])
def default(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the entry of a fresh database on each engine."""
    name = "database" if request.param == "postgres" else f"{request.param}_database"
    return entry(request.param, request.getfixturevalue(name))


@pytest.mark.parametrize("more", [{}, {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}], ids=["plain", "persistent"])
def test_the_project_passes(default: dict[str, Any], more: dict[str, Any]) -> None:
    ended = django(
        {"default": {**default, **more}}, "test", "tests.integrations.django.project.shop.tests", "--noinput"
    )
    assert ended.returncode == 0, ended.stderr
    ran = re.search(r"Ran (\d+) tests", ended.stderr)
    assert ran is not None
    assert int(ran[1]) >= 18
    assert "skipped" not in ended.stderr
