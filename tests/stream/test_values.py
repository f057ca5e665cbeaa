"""Values of changes are those that queries give, for every type that is decoded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.stream import changes
from tests.stream.sources import ENGINES, begun, captured, dropped, take

if TYPE_CHECKING:
    from tests.stream.sources import Captured

POSTGRES = {
    "bool": ["true", "null"],
    "smallint": ["-32768"],
    "bigint": ["9223372036854775807"],
    "oid": ["4294967295"],
    "real": ["0.1", "'nan'", "'infinity'"],
    "float8": ["0.1", "1e300"],
    "numeric": ["1.50", "-0.000001", "'nan'", "123456789012345678901234567890"],
    "numeric(10,2)": ["-12.5"],
    "text": ["'h\u00e4 \U0001f40d'", "''"],
    "char(5)": ["'ab'"],
    "bytea": [r"'\x00ff'"],
    "date": ["'2024-02-29'", "'infinity'", "'-infinity'", "'4713-01-01 BC'", "'12345-06-07'", "'0001-02-03 BC'"],
    "time": ["'12:34:56.789'", "'24:00'"],
    "timetz": ["'12:34:56+05:30'", "'24:00-08'"],
    "timestamp": [
        "'2024-02-29 12:34:56.7'",
        "'infinity'",
        "'294276-12-31 23:59:59.999999'",
        "'4000-03-01 01:02:03 BC'",
    ],
    "timestamptz": ["'2024-02-29 12:34:56.123456+02'", "'-infinity'", "'20000-01-01 00:00+00'"],
    "interval": ["'1 day -00:00:01.5'", "'1 year 2 mons -3 days 04:05:06.000007'", "'-1 sec'", "'infinity'", "'0'"],
    "uuid": ["'3e11fa47-71ca-11e1-9e33-c80aa9429562'"],
    "json": ["'null'", "'\"text\"'", """'{"a": [1, 2.5, null]}'"""],
    "jsonb": ["""'{"a": [1, true, null]}'"""],
    "inet": ["'10.0.0.1'", "'10.0.0.1/8'", "'::1'"],
    "cidr": ["'10.0.0.0/8'"],
    "int[]": ["'{1,null,3}'", "'{}'", "'{{1,2},{3,4}}'"],
    "text[]": ["""'{"a,b",null,"NULL",""}'"""],
    "timestamptz[]": ["'{2024-02-29 12:34:56+00}'"],
    "pg_lsn": ["'16/B374D848'"],
    "mood": ["'sad'"],
    "mood[]": ["'{sad,happy}'"],
    "small": ["7"],
    "money": ["'$12.50'"],
    "tsvector": ["'a fat cat'"],
}
FAMILY = {
    "tinyint": ["-128"],
    "tinyint unsigned": ["255"],
    "year": ["2024", "0"],
    "smallint unsigned": ["65535"],
    "mediumint": ["-8388608"],
    "mediumint unsigned": ["16777215"],
    "int unsigned": ["4294967295"],
    "bigint unsigned": ["18446744073709551615"],
    "bigint": ["-9223372036854775808"],
    "float": ["0.1"],
    "double": ["0.1"],
    "decimal(10,2)": ["-12.50", "0", "99999999.99", "-0.01"],
    "decimal(65,30)": ["12345678901234567890123456789012345.123456789012345678901234567890"],
    "decimal(9,0)": ["-999999999"],
    "bit(10)": ["b'1000000001'"],
    "bit(8)": ["b'10000001'"],
    "date": ["'2024-02-29'"],
    "time": ["'-838:59:59'", "'12:00:01'", "'-00:00:01'"],
    "time(1)": ["'-12:34:56.7'"],
    "time(6)": ["'-00:00:00.000001'"],
    "datetime": ["'2024-02-29 12:34:56'"],
    "datetime(3)": ["'2024-02-29 12:34:56.789'"],
    "datetime(6)": ["'9999-12-31 23:59:59.999999'"],
    "timestamp null": ["'2024-02-29 12:34:56'"],
    "timestamp(4) null": ["'2024-02-29 12:34:56.1234'"],
    "char(5)": ["'ab'", "''"],
    "char(200) character set utf8mb4": ["'h\u00e4 \U0001f40d'"],
    "varchar(300) character set latin1": ["'h\u00e4'"],
    "varchar(10)": ["null", "''"],
    "text": ["repeat('x', 70000 - 69000)"],
    "mediumtext": ["repeat('y', 70000)"],
    "binary(4)": ["x'0100'"],
    "varbinary(300)": ["x'00ff'"],
    "blob": ["x'ff00'"],
    "enum('a','b,c','\u00df')": ["'b,c'", "'\u00df'"],
    "set('x','y','z')": ["'x,z'", "''"],
}
MYSQL_JSON = [
    "'null'",
    "'\"text\"'",
    """'{"a": [1, -2.5, null, true], "long": 12345678901, "": {}}'""",
    "'[70000, -3, 18446744073709551615]'",
    "json_object('big', repeat('z', 70000), 'n', 100000, 'd', 1.50)",
    "json_array(cast('2024-02-29 12:34:56' as datetime), cast('2024-02-29' as date), cast('-01:02:03' as time), 12.75)",
]


def columns(engine: str) -> list[tuple[str, str]]:
    types = dict(POSTGRES) if engine == "postgres" else dict(FAMILY)
    if engine == "mysql":
        types["json"] = MYSQL_JSON
    if engine == "mariadb":
        types["json"] = ["'[1]'"]
    return [(kind, value) for kind, values in types.items() for value in values]


@pytest.fixture(params=ENGINES)
def source(request: pytest.FixtureRequest) -> Captured:
    return captured(request, request.param)


async def test_values_are_those_of_queries(source: Captured) -> None:
    wide = columns(source.engine)
    async with rdskit.connect(source.url, tls="off") as db:
        if source.is_postgres:
            await db.execute("create type mood as enum ('sad', 'happy')")
            await db.execute("create domain small as int check (value < 10)")
        listed = ", ".join(f"c{number} {kind}" for number, (kind, _) in enumerate(wide))
        await db.execute(f"create table wide (id int primary key, {listed})")
        if source.is_postgres:
            await db.execute("alter table wide replica identity full")
        stream = changes(db, name="wide", tables=["wide"])
        waiting = asyncio.create_task(take(stream, 2))
        await begun(db, "wide")
        values = ", ".join(value for _, value in wide)
        await db.execute(f"insert into wide values (1, {values})")
        row = await db.fetch_one("select * from wide")
        assert row is not None
        await db.execute("delete from wide")
        inserted, deleted = await waiting
        await stream.aclose()
        await dropped(db, "wide")
        assert inserted.new is not None
        for change in (inserted.new, deleted.old):
            assert change is not None
            read = [(kind, repr(value)) for (kind, _), value in zip(wide, list(change)[1:], strict=True)]
            wanted = [(kind, _shown(value)) for (kind, _), value in zip(wide, list(row)[1:], strict=True)]
            assert read == wanted


def _shown(value: object) -> str:
    """Write asyncpg's own UUID, which is equal to Python's, as that one."""
    return repr(value).replace("asyncpg.pgproto.pgproto.UUID", "UUID")
