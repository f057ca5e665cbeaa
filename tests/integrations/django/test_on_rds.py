"""A Django process on a Multi-AZ instance with a read replica: routing, a failover under load, logins with a token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugins.rounds import soak

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.local_rds import LocalRds

ROOT = Path(__file__).resolve().parents[3]
BACKENDS = {"postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql"}


@pytest.fixture(scope="module", params=["postgres", "mariadb", *soak("mysql")])
def told(request: pytest.FixtureRequest, local_rds: LocalRds) -> Iterator[dict[str, Any]]:
    """Return the observations of the process that ran the project."""
    identifier = f"django-{request.param}"
    local_rds.create(identifier, engine=request.param, MultiAZ=True, EnableIAMDatabaseAuthentication=True, replicas=1)
    engine = f"rdskit.integrations.django.{BACKENDS[request.param]}"
    default = {
        "ENGINE": engine,
        "HOST": f"rds://{identifier}",
        "NAME": "app",
        "CONN_MAX_AGE": None,
        "OPTIONS": {"credentials": f"secretsmanager:{local_rds.secret(identifier)}"},
    }
    databases = {
        "default": default,
        "reader": {"ENGINE": engine, "OPTIONS": {"reader_of": "default"}},
        "iam": {**default, "USER": "ada", "OPTIONS": {"credentials": "iam"}},
    }
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "tests.integrations.django.project.settings",
        "PROJECT_DATABASES": json.dumps(databases),
    }
    command = [sys.executable, "-W", "error", "-m", "tests.integrations.django.drill", identifier]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    yield json.loads(ended.stdout)
    local_rds.delete(f"{identifier}-r1", identifier)


def test_a_request_reads_from_the_replica_until_it_writes(told: dict[str, Any]) -> None:
    routes = told["routes"]
    assert routes["stranger"] == {"alias": "reader"}
    for how in ("orm", "raw", "async"):
        assert routes[how] == {"before": "reader", "after": "default"}, how


def test_the_next_request_of_who_wrote_reads_from_the_writer(told: dict[str, Any]) -> None:
    assert told["routes"]["author"] == {"alias": "default"}


def test_outside_of_a_request_reads_go_to_the_writer(told: dict[str, Any]) -> None:
    assert told["routes"]["outside"] == "default"


def test_what_was_read_from_the_replica_is_saved_by_the_writer(told: dict[str, Any]) -> None:
    assert told["routes"]["saved"] == {"seen": True}


def test_a_failover_costs_what_was_under_way_and_loses_nothing(told: dict[str, Any]) -> None:
    failover = told["failover"]
    assert failover["moved"]
    assert failover["lost"] == []
    assert 0 < len(failover["failed"]) <= 2 * 3, failover["failed"]  # three workers, one transaction each under way


def test_a_token_logs_in(told: dict[str, Any]) -> None:
    assert told["iam"].startswith("ada")


def test_the_shell_is_told_where_the_writer_is(told: dict[str, Any]) -> None:
    command, environment = told["shell"]
    assert any("127." in word for word in command), command
    assert not any("rds://" in word for word in command), command
    assert {"PGPASSWORD", "MYSQL_PWD"} & set(environment)
