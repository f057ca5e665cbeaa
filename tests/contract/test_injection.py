"""Texts that try to be SQL are data: stored, compared, found in lists and patterns, and nothing else happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import rdskit

if TYPE_CHECKING:
    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(120)

ATTEMPTS = (
    # ending the string
    "'",
    "''",
    '"',
    '""',
    "`",
    "\\",
    "\\'",
    "\\\\'",
    "' or '1'='1",
    "' or 1=1 -- ",
    "' or 1=1 #",
    "' or 1=1 /*",
    '" or ""="',
    "') or ('1'='1",
    "')) or 1=1 -- ",
    "admin'--",
    "admin' #",
    "' || '1'='1",
    "' && '1'='1",
    # further statements
    "'; drop table accounts; --",
    "'); drop table accounts; --",
    "1; drop table accounts",
    "1; delete from accounts where 1=1; --",
    "'; update accounts set name = 'owned'; --",
    "'; shutdown; --",
    "'; truncate accounts; select '",
    "x'; insert into accounts (name) values ('owned'); --",
    "x'/**/;/**/drop/**/table/**/accounts;--",
    # reading more
    "' union select null, null -- ",
    "' union all select user(), version() -- ",
    "1 union select name from accounts",
    "-1' union select table_name from information_schema.tables -- ",
    "' and (select count(*) from accounts) > 0 -- ",
    "' and substring(@@version, 1, 1) = '9",
    "' and extractvalue(1, concat(0x7e, version())) -- ",
    "' and updatexml(1, concat(0x7e, user()), 1) -- ",
    "' and 1 = cast((select version()) as int) -- ",
    "' procedure analyse() -- ",
    "' into outfile '/nowhere/x' -- ",
    "' and load_file('/etc/passwd') is not null -- ",
    # time
    "' and sleep(30) -- ",
    "' or pg_sleep(30) is null -- ",
    "'; select pg_sleep(30); --",
    "' and benchmark(100000000, md5(1)) -- ",
    "1' and (select 1 from (select sleep(30)) x) -- ",
    # quoting of one engine
    "$$; drop table accounts; $$",
    "$tag$; drop table accounts; $tag$",
    "E'\\'; drop table accounts; --'",
    "U&'\\0027; drop table accounts; --",
    "0x27206f7220313d31",
    "/*! drop table accounts */",
    "/*!50000 or 1=1 */",
    "/*M! or 1=1 */",
    "'; copy accounts to program 'true'; --",
    "'; set global read_only = 1; --",
    # characters that a wrong character set would make into quotes, and such that a client might treat itself
    "\xbf' or 1=1 -- ",
    "縗' or 1=1 -- ",
    "\u02bc or 1=1",
    "\uff07 or 1=1",
    "\r\n'; drop table accounts; --",
    "\x1a'; drop table accounts; --",
    # parameters of a client
    ":name",
    "?",
    "%s",
    "%(name)s",
    "$1",
    "{name}",
    "%",
    "_",
    "100%_\\%",
)


async def test_every_attempt_is_stored_and_found_as_it_is(engine: Engine, db: rdskit.Database) -> None:
    binary = engine.pick("text", "varchar(200) character set utf8mb4 collate utf8mb4_bin")
    await db.execute(f"create table accounts (id {engine.key}, name {binary} not null)")
    for attempt in ATTEMPTS:
        assert await db.execute("insert into accounts (name) values (:name)", name=attempt) == 1
    stored = await db.fetch_all("select name from accounts order by id")
    assert tuple(row.name for row in stored) == ATTEMPTS
    for attempt in ATTEMPTS:
        assert await db.fetch_value("select name from accounts where name = :name", name=attempt) == attempt
        assert await db.fetch_value("select count(*) from accounts where name in :names", names=[attempt, "none"]) == 1
        pattern = _literal(attempt)
        assert await db.fetch_value("select count(*) from accounts where name like :pattern", pattern=pattern) == 1
        assert await db.execute("update accounts set name = :name where name = :name", name=attempt) == 1
    assert await db.fetch_value("select count(*) from accounts where name in :names", names=list(ATTEMPTS)) == len(
        ATTEMPTS
    )
    assert await db.fetch_value("select count(*) from accounts where name not in :names", names=list(ATTEMPTS)) == 0


async def test_one_text_is_one_statement(engine: Engine, db: rdskit.Database) -> None:
    await db.execute("create table accounts (id int)")
    for text in ("select 1; drop table accounts", "select 1; select 2"):
        with pytest.raises(rdskit.RdskitError):
            await db.execute(text)
    assert await db.fetch_value("select count(*) from accounts") == 0, engine.name


def _literal(text: str) -> str:
    """Return a pattern that matches this text only."""
    return "".join(f"\\{character}" if character in "\\%_" else character for character in text)
