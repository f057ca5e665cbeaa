"""Many processes at once apply each migration once; one that is killed at any instruction is finished by the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import rdskit
from rdskit.evolve.migrations import State, status
from rdskit.inspect import schema, schema_hash
from tests.killing import Zygote, spread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

INDEX = """\
-- up
-- no transaction
create index concurrently notes_id on notes (id);
update users set name = 'Grace' where id = 1;

-- down
-- no transaction
drop index concurrently notes_id;
"""


@pytest.fixture(params=["database", "mysql_database"], ids=["postgresql", "mysql"])
def target(request: pytest.FixtureRequest) -> TestDatabase | FamilyDatabase:
    fresh: TestDatabase | FamilyDatabase = request.getfixturevalue(request.param)
    return fresh


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    found = Zygote("tests.evolve.migrations.runs", "evolve", "plans")
    yield found
    found.close()


@pytest.fixture
def arguments(target: TestDatabase | FamilyDatabase, directory: Path) -> dict[str, Any]:
    (directory / "20261130_1500_index.postgres.sql").write_text(INDEX)
    return {"url": target.url, "directory": str(directory)}


def test_eight_processes_apply_each_migration_once(zygote: Zygote, arguments: dict[str, Any]) -> None:
    answers = zygote.run_all("up", [arguments] * 8)
    assert all("answer" in answer for answer in answers), answers
    applied = [version for answer in answers for version in answer["answer"]]
    assert len(applied) == len(set(applied)) in {3, 4}


EVERY_LINE = [pytest.mark.soak, pytest.mark.timeout(7200)]


@pytest.mark.parametrize(
    ("target", "kills"),
    # MySQL commits each DDL by itself, so there a half-done migration is more than PostgreSQL ever leaves.
    [
        pytest.param("mysql_database", 2, marks=pytest.mark.timeout(240)),
        pytest.param("mysql_database", None, marks=EVERY_LINE),
        pytest.param("database", None, marks=EVERY_LINE),
    ],
    indirect=["target"],
)
async def test_a_killed_process_is_finished_by_the_next(
    zygote: Zygote, arguments: dict[str, Any], kills: int | None, directory: Path
) -> None:
    async with rdskit.connect(arguments["url"], tls="off", min_size=0, max_size=5, readers="off") as db:
        empty = schema_hash(await schema(db))
        clean = zygote.run("up", **arguments)
        whole = schema_hash(await schema(db))
        taken_back = zygote.run("down", **arguments)
        assert schema_hash(await schema(db)) == empty
        for at in spread(clean, kills):
            assert zygote.run("up", kill_at=at, **arguments) == {"killed": True}
            assert "answer" in zygote.run("up", **arguments), at
            assert schema_hash(await schema(db)) == whole, at
            assert {entry.state for entry in await status(db, directory)} == {State.APPLIED}
            assert await db.fetch_value("select count(*) from users") == 1
            assert "answer" in zygote.run("down", **arguments), at
            assert schema_hash(await schema(db)) == empty, at
        for at in spread(taken_back, kills):
            assert "answer" in zygote.run("up", **arguments), at
            assert zygote.run("down", kill_at=at, **arguments) == {"killed": True}
            assert "answer" in zygote.run("down", **arguments), at
            assert schema_hash(await schema(db)) == empty, at
