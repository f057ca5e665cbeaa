"""A process that is killed at any instruction of the runner leaves a job that ends done, undone or named unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

import rdskit.sync
from tests.killing import Zygote, spread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.local_rds import LocalRds
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase


class Runs:
    """Runs one sample plan in forked children."""

    def __init__(self, sample: str, subject: str, directory: Path) -> None:
        self._fixed = {"sample": sample, "subject": subject, "directory": str(directory)}
        self.zygote = Zygote("tests.plans.samples", "plans")

    def run(self, verb: str, job: str, kill_at: int | None = None) -> dict[str, Any]:
        answer = self.zygote.run("run", kill_at=kill_at, verb=verb, job=job, **self._fixed)
        assert answer.get("kind", "PlanError") == "PlanError", answer
        return answer


@pytest.fixture
def zygotes(tmp_path: Path) -> Iterator[Any]:
    opened: list[Runs] = []

    def runs(sample: str, subject: str) -> Runs:
        opened.append(Runs(sample, subject, tmp_path / "jobs"))
        return opened[-1]

    yield runs
    for each in opened:
        each.zygote.close()


def storm(zygote: Runs, kills: int | None, check: Any) -> None:
    """Kill runs forward and backward at many lines; after each the job is finished, and the world is as it says.

    Args:
        zygote: runs the plan.
        kills: how many lines of each direction, spread evenly; None for each source line's first and last visit.
        check: called with what must be there: True for all, False for nothing.
    """
    forward = zygote.run("apply", "probe-0")
    assert forward["answer"] == "done"
    check(there=True)
    backward = zygote.run("undo", "probe-0")
    assert backward["answer"] == "undone"
    check(there=False)
    for number, at in enumerate(spread(forward, kills), 1):
        job = f"forward-{number}"
        assert zygote.run("apply", job, at) == {"killed": True}
        ended = zygote.run("resume", job)
        if "no beginning" in ended.get("error", ""):  # killed before the first entry: nothing was done
            check(there=False)
            continue
        # Killed after the last entry it is done, and cannot be resumed.
        assert ended.get("answer") == "done" or "there is nothing to resume" in ended["error"], (at, ended)
        check(there=True)
        assert zygote.run("undo", job)["answer"] == "undone"
        check(there=False)
    for number, at in enumerate(spread(backward, kills), 1):
        job = f"backward-{number}"
        assert zygote.run("apply", job)["answer"] == "done"
        assert zygote.run("undo", job, at) == {"killed": True}
        ended = zygote.run("undo", job)
        assert ended.get("answer") == "undone" or "is undone already" in ended["error"], (at, ended)
        check(there=False)


GATE = 2


@pytest.fixture(params=[GATE, pytest.param(None, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
def kills(request: pytest.FixtureRequest) -> int | None:
    chosen: int | None = request.param
    return chosen


def test_postgres_ddl(zygotes: Any, database: TestDatabase, kills: int | None) -> None:
    with rdskit.sync.connect(database.url, tls="off", readers="off") as db:

        def check(*, there: bool) -> None:
            table = db.fetch_value("select to_regclass('users')::text")
            index = db.fetch_value("select indisvalid from pg_index where indexrelid = to_regclass('users_email')")
            assert (table, index) == (("users", True) if there else (None, None))
            if there:
                assert db.fetch_value("select count(*) from users") == 100

        storm(zygotes("postgres", database.url), kills, check)


def test_mysql_ddl(zygotes: Any, mysql_database: FamilyDatabase, kills: int | None) -> None:
    with rdskit.sync.connect(mysql_database.url, tls="off", readers="off") as db:

        def check(*, there: bool) -> None:
            text = "select count(*) from information_schema.statistics where table_schema = database()"
            assert db.fetch_value(text) == (2 if there else 0)
            assert db.fetch_value("select count(*) from information_schema.tables where table_schema = database()") == (
                1 if there else 0
            )

        storm(zygotes("mysql", mysql_database.url), kills, check)


def test_an_instance_of_the_aws_api(zygotes: Any, local_rds: LocalRds, kills: int | None) -> None:
    del local_rds  # the environment points every AWS client at it
    rds = boto3.client("rds")

    def check(*, there: bool) -> None:
        found = [
            each for each in rds.describe_db_instances()["DBInstances"] if each["DBInstanceIdentifier"] == "plan-1"
        ]
        assert [each["BackupRetentionPeriod"] for each in found] == ([3] if there else [])

    # One life of an instance takes seconds.
    storm(zygotes("instance", "plan-1"), 60 if kills is None else 2, check)
