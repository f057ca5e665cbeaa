"""A directory of migrations is read as it is written, and what would be silently without effect is refused."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

import pytest

from rdskit.errors import ConfigError
from rdskit.evolve.migrations.files import new_file, read_directory
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.split import split

if TYPE_CHECKING:
    from pathlib import Path

USERS = """\
-- Users, with an index.
-- lock timeout 500ms

-- up
create table users (id bigint primary key, email text); -- the first; of two
/* and ; here */
-- waive index-not-concurrent: the table is new
create index users_email on users (email);

-- down
drop table users;
"""


def write(directory: Path, **files: str) -> None:
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)


def test_sections_directives_waivers_and_lines(tmp_path: Path) -> None:
    write(tmp_path, **{"20261130_1200_users__sql": USERS, "README__md": "no migration"})
    (migration,) = read_directory(tmp_path, "postgres")
    assert migration.version == "20261130_1200_users"
    assert migration.up is not None
    assert migration.down is not None
    assert [statement.line for statement in migration.up.statements] == [5, 8]
    assert migration.up.statements[1].text == "create index users_email on users (email)"
    assert migration.up.statements[1].waivers == {"index-not-concurrent": "the table is new"}
    assert migration.up.lock_timeout == 0.5
    assert migration.up.transactional
    assert [statement.text for statement in migration.down.statements] == ["drop table users"]


def test_a_section_may_leave_the_transaction_for_itself(tmp_path: Path) -> None:
    write(tmp_path, **{"20261130_1200_a__sql": "-- up\n-- no transaction\nselect 1;\n-- down\nselect 2;"})
    (migration,) = read_directory(tmp_path, "postgres")
    assert migration.up is not None
    assert migration.down is not None
    assert (migration.up.transactional, migration.down.transactional) == (False, True)


def test_without_sections_all_of_it_goes_up(tmp_path: Path) -> None:
    write(tmp_path, **{"20261130_1200_a__sql": "select 1;\nselect 2"})
    (migration,) = read_directory(tmp_path, "postgres")
    assert migration.up is not None
    assert migration.down is None
    assert len(migration.up.statements) == 2


def test_the_closest_variant_is_taken_and_versions_are_in_order(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{
            "20261202_0900_b__sql": "select 'all'",
            "20261201_0900_a__sql": "select 'all'",
            "20261201_0900_a__postgres__sql": "select 'postgres'",
            "20261201_0900_a__mysql__sql": "select 'mysql'",
            "20261203_0900_c__postgres__sql": "select 'postgres'",
        },
    )

    def taken(product: str) -> list[str]:
        return [each.up.statements[0].text for each in read_directory(tmp_path, product) if each.up]

    assert taken("postgres") == ["select 'postgres'", "select 'all'", "select 'postgres'"]
    assert taken("mysql") == taken("mariadb") == ["select 'mysql'", "select 'all'"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("users.sql", "select 1", "is not called like a migration"),
        ("20261130_1200_a.sql", "-- up\n", "has nothing to do"),
        ("20261130_1200_a.sql", "-- up\nselect 1;\n-- up\nselect 2;", ":3: a second section `-- up`"),
        ("20261130_1200_a.sql", "select 0;\n-- up\nselect 1;", ":1: a statement stands before the first section"),
        (
            "20261130_1200_a.sql",
            "-- up\n-- lock timeout soon\nselect 1;",
            ":2: '-- lock timeout soon' is not understood",
        ),
        ("20261130_1200_a.sql", "-- up\n-- waive drop-column\nselect 1;", "is not understood: write"),
        ("20261130_1200_a.sql", "-- up\nselect 'open", "never closes it"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=re.escape(told)) as refused:
        read_directory(tmp_path, "postgres")
    assert name in str(refused.value)


def test_two_files_of_one_version_are_refused(tmp_path: Path) -> None:
    write(tmp_path, **{"20261130_1200_a__sql": "select 1", "20261130_1200_a__py": ""})
    with pytest.raises(ConfigError, match="are one version"):
        read_directory(tmp_path, "postgres")
    with pytest.raises(ConfigError, match="rdskit migrate new"):
        read_directory(tmp_path / "nothing", "postgres")


def test_the_checksum_ignores_line_ends_only(tmp_path: Path) -> None:
    texts = [
        USERS,
        USERS.replace("\n", "\r\n"),
        USERS.replace(";\n", ";  \n") + "\n\n",
        USERS.replace("email text", "email int"),
    ]
    sums = []
    for text in texts:
        (tmp_path / "20261130_1200_users.sql").write_bytes(text.encode())
        sums.append(read_directory(tmp_path, "postgres")[0].checksum)
    assert sums[0] == sums[1] == sums[2] != sums[3]


def test_a_new_file_comes_behind_all_others(tmp_path: Path) -> None:
    now = dt.datetime(2026, 11, 30, 12, 0, 7, tzinfo=dt.UTC)
    first = new_file(tmp_path / "migrations", "Add users!", now)
    assert first.name == "20261130_1200_add_users.sql"
    second = new_file(tmp_path / "migrations", "index", now, [first.stem])
    assert second.name == "20261130_1201_index.sql"
    assert second.stem > first.stem
    with pytest.raises(ConfigError, match="is no name for a migration"):
        new_file(tmp_path, "!!", now)
    with pytest.raises(ConfigError, match="cannot be written"):
        new_file(tmp_path / "migrations", "Add users", now)


@pytest.mark.parametrize(
    ("dialect", "text", "statements"),
    [
        (Dialect.POSTGRES, "select 1;; select 2 ;", ["select 1", "select 2"]),
        (Dialect.POSTGRES, "do $$ begin; end $$; select ';'", ["do $$ begin; end $$", "select ';'"]),
        (
            Dialect.POSTGRES,
            "create function f() returns int begin atomic select case when true then 1 end; select 2; end; select 3",
            [
                "create function f() returns int begin atomic select case when true then 1 end; select 2; end",
                "select 3",
            ],
        ),
        (Dialect.POSTGRES, "begin; commit", ["begin", "commit"]),
        (
            Dialect.MYSQL,
            "select 1;\nDELIMITER //\ncreate procedure p() begin select 1; end//\nselect 2//\ndelimiter ;\nselect 3;",
            ["select 1", "create procedure p() begin select 1; end", "select 2", "select 3"],
        ),
        (Dialect.MYSQL, 'select `a;b`; # c;d\nselect "e;f"', ["select `a;b`", 'select "e;f"']),
        (Dialect.POSTGRES, "-- nothing\n/* at all */", []),
    ],
)
def test_statements_are_split_as_the_servers_clients_do(dialect: Dialect, text: str, statements: list[str]) -> None:
    found = split(text, dialect)
    assert [statement for statement, _ in found] == statements
    assert all(text[offset:].startswith(statement[:5]) for statement, offset in found)
