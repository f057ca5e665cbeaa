"""Statements of tenants on MySQL and MariaDB: kept to one tenant, or refused."""

from __future__ import annotations

import pytest

from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect
from rdskit.scale.tenancy.model import TenantTables
from rdskit.scale.tenancy.rows import RowGuard

VALUE = "cast(@rdskit_tenant as signed)"
GUARD = RowGuard(
    TenantTables(
        Dialect.MYSQL,
        "tenant_id",
        {"orders": VALUE, "items": VALUE, "users": VALUE},
        frozenset({"orders"}),
        frozenset({"countries"}),
        frozenset({"users"}),
        frozenset({"peek"}),
    )
)


def kept(name: str, alias: str = "") -> str:
    return f"(select * from {name} where `tenant_id` = {VALUE}){alias}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("select * from orders", f"select * from {kept('orders', ' as orders')}"),
        ("select * from `orders` o, items", f"select * from {kept('`orders`')} o, {kept('items', ' as items')}"),
        (
            "select 1 from orders o left join items using (id) where exists (select 1 from users) -- orders",
            (
                f"select 1 from {kept('orders')} o left join {kept('items', ' as items')} using (id) "
                f"where exists (select 1 from {kept('users', ' as users')}) -- orders"
            ),
        ),
        ("select 'from orders', c.* from countries c", "select 'from orders', c.* from countries c"),
        (
            "with o as (select * from orders) select * from o union all select * from items",
            (
                f"with o as (select * from {kept('orders', ' as orders')}) select * from o "
                f"union all select * from {kept('items', ' as items')}"
            ),
        ),
        (
            "update orders o set n = 1 where id = :id or 1 = 1 # all\norder by id limit 3",
            (
                f"update orders o set n = 1 where `o`.`tenant_id` = {VALUE} and ( id = :id or 1 = 1 # all\n\n) "
                "order by id limit 3"
            ),
        ),
        ("delete from orders", f"delete from orders\nwhere orders.`tenant_id` = {VALUE} "),
        (
            "select * from orders where id = :id for update skip locked",
            f"select * from orders where orders.`tenant_id` = {VALUE} and ( id = :id \n) for update skip locked",
        ),
        (
            "insert into orders (id, n) values (:id, (1)), (2, 3)",
            f"insert into orders (id, n, `tenant_id`) values (:id, (1), {VALUE}), (2, 3, {VALUE})",
        ),
        (
            "insert into orders (id) select id from items",
            (
                f"insert into orders (id, `tenant_id`) select rdskit_rows.*, {VALUE} from ( select id from "
                f"{kept('items', ' as items')}\n) as rdskit_rows "
            ),
        ),
        (
            "insert into users (id) values (1) on duplicate key update id = id + 1",
            f"insert into users (id, `tenant_id`) values (1, {VALUE}) on duplicate key update id = id + 1",
        ),
    ],
)
def test_the_predicate_is_where_a_table_is(source: str, expected: str) -> None:
    assert GUARD.text(source) == expected


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("select * from secrets", "no column 'tenant_id'"),
        ("select * from other.orders", "with a schema"),
        ("select * from orders partition (p0)", "PARTITION"),
        ("select * from orders use index (i)", "HINTS"),
        ("with orders as (select 1) select * from orders", "WITH gives the name"),
        ("select peek(1)", "stored function"),
        ("update orders set tenant_id = 2", "cannot be changed"),
        ("update orders set TENANT_ID = 2", "cannot be changed"),
        ("update orders join items using (id) set orders.n = 1", "joined"),
        ("update orders, items set orders.n = 1", "cannot be kept"),
        ("delete orders from orders join items using (id)", "joined"),
        ("update countries set n = 1", "shared by all"),
        ("insert into orders (id, tenant_id) values (1, 2)", "leave 'tenant_id' out"),
        ("insert into orders values (1, 2)", "list of its columns"),
        ("insert into orders set id = 1", "cannot be kept"),
        ("insert into orders (id) values (1) on duplicate key update n = 1", "each of its unique keys"),
        ("insert into users (id) values (1) on duplicate key update tenant_id = 1", "cannot be changed"),
        ("replace into orders (id) values (1)", "cannot be kept"),
        ("select * from orders, items for update", "one table"),
        ("call peek()", "cannot be kept"),
        ("select @rdskit_tenant", "belongs to rdskit"),
        ("set @RDSKIT_TENANT = 'b'", "belongs to rdskit"),
        ("select * from orders where 1 = 1 /*! or 1 = 1 */", "comment that the server runs"),
        ("select * from orders /*M! union select * from items */", "comment that the server runs"),
        ("set names utf8mb4", "cannot be kept"),
        ("truncate table orders", "cannot be kept"),
        ("load data infile 'x' into table orders", "cannot be kept"),
        ("select * from orders into outfile '/x'", "cannot be kept"),
        ("handler orders open", "cannot be kept"),
        ("explain select * from orders", "cannot be kept"),
        ("table orders", "cannot be kept|no column|kept"),
        ("select * from (", "cannot be kept"),
        ("drop table orders", "cannot be kept"),
        ("do sleep(1)", "cannot be kept"),
        ("prepare s from 'select 1'", "cannot be kept"),
    ],
)
def test_what_cannot_be_kept_to_one_tenant_is_refused(source: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        GUARD.text(source)


def test_rows_get_the_tenant_and_never_another() -> None:
    assert list(GUARD.rows("orders", [{"id": 1}, {"id": 2, "Tenant_ID": 7}], "7")) == [
        {"id": 1, "tenant_id": 7},
        {"id": 2, "tenant_id": 7},
    ]
    with pytest.raises(ConfigError, match="another tenant"):
        list(GUARD.rows("orders", [{"id": 1, "tenant_id": 8}], "7"))
    for table in ("secrets", "countries", "other.orders"):
        with pytest.raises(ConfigError, match="not for tenants"):
            GUARD.rows(table, [], "7")


@pytest.mark.parametrize("tenant", ["acme", "007", "7a"])
def test_an_id_that_a_column_of_numbers_would_confuse_is_refused(tenant: str) -> None:
    with pytest.raises(ConfigError, match="whole number"):
        GUARD.admit(tenant)
