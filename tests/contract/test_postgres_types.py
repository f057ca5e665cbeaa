"""PostgreSQL says itself which types there are: none is forgotten, and what is made of each keeps its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.contract.columns import BULK, Column
from tests.contract.columns_postgres import COLUMNS

if TYPE_CHECKING:
    import rdskit
    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(120)

#: Types that a column can have, arrays and the row types of tables aside: those follow from the others.
MEASURABLE: Final = """
select oid::regtype::text from pg_type t
where typtype in ('b', 'd', 'e', 'm', 'r') and not exists (select from pg_type a where a.typarray = t.oid)
"""
#: The server takes no text for them, and the driver cannot write them.
READ_ONLY: Final = frozenset(
    {
        *("int2vector", "oidvector", "pg_node_tree", "pg_ndistinct", "pg_dependencies", "pg_mcv_list", "gtsvector"),
        *("pg_brin_bloom_summary", "pg_brin_minmax_multi_summary", "xml", "ghstore", "ltree_gist"),
        *("lseg[]", "box[]", "path[]", "polygon[]", "pricemultirange"),
    }
)


async def test_no_type_of_the_catalog_is_missing_from_the_table(engine: Engine, db: rdskit.Database) -> None:
    if not engine.is_postgres:
        return
    await _set_up(db)
    measured = [row[0] for row in await db.fetch_all("select t::regtype::text from unnest(:t::text[]) t", t=_names())]
    there = {row[0] for row in await db.fetch_all(MEASURABLE)}
    assert sorted(there - set(measured)) == []
    kinds = "select distinct typtype::text from pg_type where oid::regtype::text = any(:t) or (typtype <> 'p' and :all)"
    found, all_of_them = [
        {row[0] for row in await db.fetch_all(kinds, t=measured, all=everything)} for everything in (False, True)
    ]
    assert found == all_of_them


def _names() -> list[str]:
    return [column.type for column in COLUMNS]


async def _set_up(db: rdskit.Database) -> None:
    for column in COLUMNS:
        for statement in column.setup:
            await db.execute(statement)


def _array(_: rdskit.Database, column: Column, __: int) -> tuple[str, str]:
    return f"{column.type}[]", f"array[null, {', '.join(column.literals)}]::{column.type}[]"


def _domain(_: rdskit.Database, column: Column, number: int) -> tuple[str, str]:
    return f"domain_{number}", column.literals[-1]


def _composite(_: rdskit.Database, column: Column, number: int) -> tuple[str, str]:
    return f"composite_{number}", f"row(null, {column.literals[-1]})::composite_{number}"


MADE: Final = {
    "array": ((), _array),
    "domain": (("create domain domain_{number} as {type}",), _domain),
    "composite": (("create type composite_{number} as (first {type}, second {type})",), _composite),
}


@pytest.mark.parametrize("made", MADE)
async def test_what_is_made_of_each_type_keeps_its_values(engine: Engine, db: rdskit.Database, made: str) -> None:
    if not engine.is_postgres:
        return
    await _set_up(db)
    setup, make = MADE[made]
    columns = [each for each in COLUMNS if each.type not in READ_ONLY and not each.type.endswith("multirange[]")]
    if made == "array":
        columns = [column for column in columns if not {column.type[-2:], f"{column.type}[]"} & {"[]", *_names()}]
    for number, column in enumerate(columns):
        for text in setup:
            await db.execute(text.format(number=number, type=column.type))
    made_columns = [make(db, column, number) for number, column in enumerate(columns)]
    await _compare(db, made_columns)


async def _compare(db: rdskit.Database, columns: list[tuple[str, str]]) -> None:
    """Write values as SQL, as parameters and in bulk, all types in one table, and compare what the server holds."""
    names = [f"c{number}" for number in range(len(columns))]
    definition = ", ".join(f"{name} {kind}" for name, (kind, _) in zip(names, columns, strict=True))
    for table in ("kept", "written", "bulk"):
        await db.execute(f"create table {table} (n int, {definition})")
    await db.execute(f"insert into kept values (1, {', '.join(literal for _, literal in columns)})")
    row = await db.fetch_one(f"select {', '.join(names)} from kept")
    assert row is not None
    values = dict(row.items())
    await db.execute(f"insert into written values (1, {', '.join(f':{name}' for name in names)})", values)
    await db.insert_many("bulk", [{"n": number, **values} for number in range(1, BULK)])
    texts = f"select {', '.join(f'{name}::text' for name in names)} from {{}} where n = 1"
    kept, written, bulk = [await db.fetch_one(texts.format(table)) for table in ("kept", "written", "bulk")]
    assert kept is not None
    assert written is not None
    assert bulk is not None
    for name, (kind, _) in zip(names, columns, strict=True):
        assert written[name] == kept[name], kind
        assert bulk[name] == kept[name], kind
