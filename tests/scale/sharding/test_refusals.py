"""What is refused without a server: queries that cannot be merged, changes of shard keys, wrong configurations."""

from __future__ import annotations

from typing import Any

import pytest

from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect
from rdskit.scale import Shards
from rdskit.scale.sharding import ShardConfig
from rdskit.scale.sharding.guard import KeyGuard
from rdskit.scale.sharding.merge import planned

CONFIG = ShardConfig({"s1": "rds://s1"}, {"users": "id", "orders": "user_id"}, "s1")


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("select n, count(*) from users group by n", "GROUP BY"),
        ("select count(distinct n) from users", "DISTINCT"),
        ("select n, count(*) over () from users", "windows"),
        ("select n, max(id) from users", "GROUP BY"),
        ("select sum(n) + 1 from users", "alone"),
        ("select id from users union select id from orders", "UNION"),
        ("select * from users join orders on users.id = user_id", "join"),
        ("select * from users, orders", "join"),
        ("select id from users where id in (select user_id from orders)", "sub-query"),
        ("with u as (select 1) select * from u", "WITH"),
        ("select name from users order by id", "selected"),
        ("select id from users order by id + 1", "selected"),
        ("select * from users order by id", "name the columns"),
        ("select id from users limit 1 + 1", "numbers or parameters"),
        ("select id from users for update", "locks"),
        ("delete from users", "SELECT"),
        ("select id from (", "parsed"),
    ],
)
def test_what_cannot_be_merged_is_refused(sql: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        planned(sql, Dialect.POSTGRES, frozenset({"plans"}), colocated=False)


@pytest.mark.parametrize(
    "sql",
    [
        "update users set id = 2 where id = 1",
        "update users set n = 1, ID = 2",
        "update users u set u.id = 2",
        "update users set bucket = 7",
        "update users set (n, id) = (1, 2)",
        "with u as (select 1) update users set id = 3",
        "update orders set total = 1, user_id = 5",
        "insert into users (id, bucket) values (1, 2) on duplicate key update id = 3",
        "insert into users (id, bucket) values (1, 2) on conflict (id) do update set id = 3",
    ],
)
@pytest.mark.parametrize("dialect", Dialect)
def test_shard_keys_are_not_changed(sql: str, dialect: Dialect) -> None:
    with pytest.raises(ConfigError, match="shard key"):
        KeyGuard(CONFIG, dialect).text(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "update users set n = id where id = :id and bucket = :bucket",
        "insert into users (id, bucket) values (1, 2)",
        "select * from users where id = 1 for update",
        "update plans set id = 1",
    ],
)
def test_a_key_in_a_condition_is_no_change(sql: str) -> None:
    assert KeyGuard(CONFIG, Dialect.POSTGRES).text(sql) == sql


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "shards"),
        ({"shards": {}}, "no shards|map"),
        ({"shards": {"a": 1}}, "targets"),
        ({"shards": {"a": "rds://a"}, "tabels": {}}, "'tabels' is not known"),
        ({"shards": {"a": "rds://a"}, "tables": {"users": {"id": 1}}}, "tables.users"),
        ({"shards": {"a": "rds://a"}, "map": "b"}, "none of the shards"),
        ({"shards": {"a b": "rds://a"}}, "shard name"),
        ({"shards": {"a": "rds://a"}, "lease": 0}, "lease"),
        ({"shards": {"a": "rds://a"}, "lease": "x"}, "lease"),
    ],
)
def test_configurations_that_are_refused(content: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Shards.connect(content)


def test_replicas_that_may_lag_behind_a_move_are_refused() -> None:
    with pytest.raises(ConfigError, match="replica may lag"):
        Shards.connect({"shards": {"s1": "rds://s1"}}, readers="auto")
