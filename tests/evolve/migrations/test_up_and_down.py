"""Up, down, to a version; what is modified, missing or refused; the same on every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rdskit.errors import ConfigError, PlanError, QueryError
from rdskit.evolve.migrations import State, down, explain, status, up
from rdskit.inspect import schema, schema_hash

if TYPE_CHECKING:
    from pathlib import Path

    import rdskit

VERSIONS = ["20261130_1200_users", "20261130_1300_email", "20261130_1400_notes"]


async def states(db: rdskit.Database, directory: Path) -> list[State]:
    return [entry.state for entry in await status(db, directory)]


async def test_up_down_and_to_a_version(db: rdskit.Database, directory: Path) -> None:
    empty = schema_hash(await schema(db))
    assert await states(db, directory) == [State.PENDING] * 3
    assert await up(db, directory, to="20261130_1300") == VERSIONS[:2]
    assert await states(db, directory) == [State.APPLIED, State.APPLIED, State.PENDING]
    assert await up(db, directory) == VERSIONS[2:]
    whole = schema_hash(await schema(db))
    assert await up(db, directory) == []
    assert await db.fetch_value("select name from users where id = 1") == "Ada"

    assert await down(db, directory) == [VERSIONS[2]]
    assert await down(db, directory, to="20261130_1200") == [VERSIONS[1]]
    assert await states(db, directory) == [State.APPLIED, State.PENDING, State.PENDING]
    assert await up(db, directory) == VERSIONS[1:]
    assert schema_hash(await schema(db)) == whole
    assert await down(db, directory, steps=3) == VERSIONS[::-1]
    assert schema_hash(await schema(db)) == empty
    assert await down(db, directory) == []


async def test_a_file_that_changed_is_refused_with_the_difference(db: rdskit.Database, directory: Path) -> None:
    await up(db, directory)
    file = directory / "20261130_1400_notes.sql"
    file.write_text(file.read_text().replace("id bigint", "id int"))
    assert await states(db, directory) == [State.APPLIED, State.APPLIED, State.MODIFIED]
    for call in (up, down):
        with pytest.raises(ConfigError, match="has changed since it was applied") as refused:
            await call(db, directory)
        assert "-create table notes (id bigint primary key);" in str(refused.value)
        assert "+create table notes (id int primary key);" in str(refused.value)
    file.unlink()
    assert await states(db, directory) == [State.APPLIED, State.APPLIED, State.MISSING]
    with pytest.raises(ConfigError, match="its file is gone"):
        await down(db, directory)


async def test_a_refused_statement_ends_with_the_servers_words_and_can_be_mended(
    db: rdskit.Database, directory: Path
) -> None:
    file = directory / "20261130_1500_more.sql"
    text = "-- up\ncreate table more (id int primary key);\nalter table nothing add c int;\n"
    file.write_text(text)
    with pytest.raises((QueryError, PlanError), match="nothing"):
        await up(db, directory)
    transactional = (await states(db, directory))[3] is State.PENDING
    assert bool(await there(db, "more")) is not transactional
    file.write_text(text.replace("nothing", "more"))
    assert await up(db, directory) == ["20261130_1500_more"]
    assert await states(db, directory) == [State.APPLIED] * 4
    await db.fetch_all("select id, c from more")


async def there(db: rdskit.Database, table: str) -> int:
    text = (
        "select count(*) from information_schema.tables where table_name = :table and table_schema in ('public', :own)"
    )
    return int(await db.fetch_value(text, table=table, own=await database_name(db)))


async def database_name(db: rdskit.Database) -> str:
    postgres = any(name.startswith("schema ") for name in await schema(db))
    return str(await db.fetch_value("select current_database()" if postgres else "select database()"))


async def test_what_has_no_way_back_is_refused_before_anything_happens(db: rdskit.Database, directory: Path) -> None:
    (directory / "20261130_1500_end.sql").write_text("create table end_of_it (id int primary key)")
    await up(db, directory)
    with pytest.raises(ConfigError, match="has no way back"):
        await down(db, directory, steps=2)
    assert await states(db, directory) == [State.APPLIED] * 4


async def test_python_files_run_in_the_transaction_of_their_history(db: rdskit.Database, directory: Path) -> None:
    (directory / "20261130_1500_people.py").write_text(
        "async def up(tx):\n    await tx.execute('insert into users values (:id, :name, null)', id=2, name='Grace')\n"
        "async def down(tx):\n    await tx.execute('delete from users where id = 2')\n"
    )
    assert (await up(db, directory))[-1] == "20261130_1500_people"
    assert await db.fetch_value("select count(*) from users") == 2
    assert await down(db, directory) == ["20261130_1500_people"]
    assert await db.fetch_value("select count(*) from users") == 1

    (directory / "20261130_1500_people.py").write_text("async def up(tx):\n    raise ValueError('no')\n")
    with pytest.raises((ValueError, PlanError)):
        await up(db, directory)
    assert await states(db, directory) != [State.APPLIED] * 4


async def test_an_unknown_or_ambiguous_version_is_named(db: rdskit.Database, directory: Path) -> None:
    with pytest.raises(ConfigError, match="'2025' is no version here; there are: 20261130_1200_users"):
        await up(db, directory, to="2025")
    with pytest.raises(ConfigError, match="is several versions"):
        await up(db, directory, to="20261130_1")
    with pytest.raises(ConfigError, match="not both"):
        await down(db, directory, to="x", steps=1)


async def test_a_plan_tells_table_size_and_lock_and_changes_nothing(db: rdskit.Database, directory: Path) -> None:
    await up(db, directory, to="20261130_1200")
    before = schema_hash(await schema(db))
    found = {each.sql.split("(")[0].strip(): each for each in await explain(db, directory)}
    altered = found["alter table users add email varchar"]
    assert altered.table == "users"
    assert altered.rows is not None
    assert "ACCESS EXCLUSIVE" in altered.lock or "algorithm=instant" in altered.lock
    assert "reads and writes" in altered.blocks
    assert found["create table notes"].blocks == "nothing: the table is new"
    assert schema_hash(await schema(db)) == before
