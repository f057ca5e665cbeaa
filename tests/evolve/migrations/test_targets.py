"""Many schemas: a canary, then waves; none twice, none forgotten, also after a failure or a kill."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

import rdskit
from rdskit.cli.main import app as cli
from rdskit.errors import ConfigError, PlanError
from rdskit.evolve import migrations
from rdskit.evolve.migrations import Target, Waves, in_schemas
from rdskit.plans import JobState, StepState, TableJournal
from rdskit.plans.model import replay
from tests.killing import Zygote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

SCHEMAS = 5


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    found = Zygote("tests.evolve.migrations.runs", "evolve", "plans")
    yield found
    found.close()


@pytest.fixture(params=["database", "mysql_database"], ids=["postgresql", "mysql"])
def target(request: pytest.FixtureRequest) -> TestDatabase | FamilyDatabase:
    fresh: TestDatabase | FamilyDatabase = request.getfixturevalue(request.param)
    return fresh


@pytest.fixture
async def db(target: TestDatabase | FamilyDatabase) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(target.url, tls="off", min_size=0, max_size=12, readers="off") as db:
        yield db


@pytest.fixture
async def schemas(db: rdskit.Database, target: TestDatabase | FamilyDatabase) -> AsyncIterator[list[str]]:
    postgres = target.url.startswith("postgresql")
    own = await db.fetch_value(f"select {'current_database' if postgres else 'database'}()")
    names = [f"{own}_tenant{number}" for number in range(SCHEMAS)]
    for name in names:
        await db.execute(f"create schema {name}")
    yield names
    for name in names:
        await db.execute(f"drop schema {name}{' cascade' if postgres else ''}")


async def _users(db: rdskit.Database, schemas: list[str]) -> list[int]:
    return [await db.fetch_value(f"select count(*) from {schema}.users") for schema in schemas]


async def test_every_schema_is_migrated_once_and_then_nothing_is_left_to_do(
    db: rdskit.Database, schemas: list[str], directory: Path
) -> None:
    everywhere = in_schemas(db, schemas)
    job = await migrations.apply(everywhere, directory, waves=Waves(canary=1, size=3, workers=3))
    assert job is not None
    assert job.state is JobState.DONE
    assert {len(step.result) for step in job.steps.values()} == {3}
    assert await _users(db, schemas) == [1] * SCHEMAS
    assert await migrations.behind(everywhere, directory) == []
    assert await migrations.apply(everywhere, directory) is None


async def test_only_those_that_are_behind_are_touched(db: rdskit.Database, schemas: list[str], directory: Path) -> None:
    everywhere = in_schemas(db, schemas)
    await migrations.apply(everywhere[:2], directory)
    await migrations.apply(everywhere[2:4], directory, to="20261130_1200")
    late = await migrations.behind(everywhere, directory)
    assert [each.name for each in late] == schemas[2:]
    job = await migrations.apply(everywhere, directory)
    assert job is not None
    assert {name: len(step.result) for name, step in job.steps.items()} == {
        **dict.fromkeys(schemas[2:4], 2),
        **dict.fromkeys(schemas[4:], 3),
    }


async def test_a_canary_that_fails_saves_the_others(db: rdskit.Database, schemas: list[str], directory: Path) -> None:
    (directory / "20261130_1500_wrong.sql").write_text("-- up\nalter table missing add x int;\n")
    with pytest.raises(PlanError, match=f"step '{schemas[0]}' failed") as caught:
        await migrations.apply(in_schemas(db, schemas), directory)
    assert caught.value.job is not None
    job = replay(caught.value.job, await TableJournal(db).read(caught.value.job))
    assert {step.state for name, step in job.steps.items() if name != schemas[0]} == {StepState.PENDING}
    (directory / "20261130_1500_wrong.sql").unlink()
    await migrations.apply(in_schemas(db, schemas), directory)
    assert await _users(db, schemas) == [1] * SCHEMAS


async def test_a_process_that_is_killed_is_finished_by_the_next(
    db: rdskit.Database, schemas: list[str], directory: Path, target: TestDatabase | FamilyDatabase, zygote: Zygote
) -> None:
    arguments: dict[str, Any] = {"url": target.url, "directory": str(directory), "schemas": schemas}
    assert zygote.run("apply_to", die_at=schemas[3], **arguments) == {"killed": True}
    late = await migrations.behind(in_schemas(db, schemas), directory)
    assert 0 < len(late) < SCHEMAS
    assert "answer" in zygote.run("apply_to", **arguments)
    assert await migrations.behind(in_schemas(db, schemas), directory) == []
    assert await _users(db, schemas) == [1] * SCHEMAS


async def test_what_cannot_be_is_refused_before_anything_is_done(
    db: rdskit.Database, schemas: list[str], directory: Path
) -> None:
    with pytest.raises(ConfigError, match="schema 'nowhere' does not exist in this database: create it"):
        await migrations.apply(in_schemas(db, [*schemas, "nowhere"]), directory)
    with pytest.raises(ConfigError, match=f"target '{schemas[0]}' stands twice"):
        await migrations.apply([*in_schemas(db, schemas), Target(schemas[0], db)], directory)
    assert len(await migrations.behind(in_schemas(db, schemas), directory)) == SCHEMAS


def test_waves_of_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"Waves\(workers=0\) migrates nothing"):
        Waves(workers=0)


def _run(*words: str, status: int = 0) -> str:
    result = CliRunner().invoke(cli, [*words, "--tls", "off"])
    assert result.exit_code == status, (result.output, result.exception)
    return result.output


@pytest.fixture
def tenants(database: TestDatabase) -> list[str]:
    async def create() -> list[str]:
        names = ["tenant_a", "tenant_b", "tenant_c"]
        async with rdskit.connect(database.url, tls="off", min_size=0, max_size=1) as db:
            for name in [*names, "other"]:
                await db.execute(f"create schema {name}")
        return names

    return asyncio.run(create())


def test_the_command_stops_behind_a_failed_canary_and_its_job_is_resumed(
    database: TestDatabase, tenants: list[str], directory: Path
) -> None:
    wrong = directory / "20261130_1500_more.sql"
    wrong.write_text("-- up\nalter table missing add x int;\n")
    words = ("migrate", "apply", database.url, "--schemas", "tenant_*", "--dir", str(directory))
    told = re.search(r"step '(\w+)' failed.*rdskit jobs resume (\S+)`", _run(*words, status=1), re.DOTALL)
    assert told is not None
    assert told[1] == tenants[0]
    wrong.write_text("-- up\nalter table users add x int;\n")
    job = told[2]
    shown = json.loads(_run("jobs", "show", job, "--journal", database.url, "--json"))
    assert [step["state"] for step in shown["steps"]] == ["failed", "pending", "pending"]
    assert f"job {job}: done" in _run("jobs", "resume", job, "--journal", database.url)
    assert json.loads(_run(*words, "--json")) == {"job": None, "applied": []}


def test_the_command_names_a_pattern_that_fits_nothing(database: TestDatabase, directory: Path) -> None:
    words = ("migrate", "apply", database.url, "--schemas", "none_*", "--dir", str(directory))
    assert "no schema is called 'none_*'" in _run(*words, status=2)
