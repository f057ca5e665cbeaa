"""The application chooses how the values of a type are written and read, for each connection."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import rdskit
import rdskit.sync

if TYPE_CHECKING:
    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(60)


@dataclass(frozen=True)
class Money:
    """What an application may have in place of a Decimal."""

    cents: int


MONEY = rdskit.Codec(
    encode=lambda value: f"{value.cents / 100:.2f}",
    decode=lambda text: Money(round(Decimal(text) * 100)),
    types=(Money,),
)
#: Numbers with a fraction stay exact, and objects are written in the order of their keys.
EXACT = rdskit.Codec(
    encode=lambda value: json.dumps(value, sort_keys=True, default=lambda it: {"cents": it.cents}).encode(),
    decode=lambda text: json.loads(text, parse_float=Decimal),
    types=(Money,),
)


def read(engine: Engine, value: Any) -> Any:
    """Return what a document is read as: MariaDB does not tell JSON from other texts."""
    return json.loads(value, parse_float=Decimal) if engine.name == "mariadb" else value


async def test_json_is_written_and_read_by_the_codec_that_was_chosen(engine: Engine) -> None:
    async with rdskit.connect(engine.database.url, tls="off", codecs={"json": EXACT}) as db:
        await db.execute(f"create table docs (id int primary key, doc {engine.pick('jsonb', 'json')})")
        insert = "insert into docs values (:id, :doc)"
        await db.execute(insert, id=1, doc={"b": 1, "a": [Money(5)]})
        await db.execute(insert, id=2, doc='{"price": 0.1}')
        rows: list[dict[str, Any]] = [{"id": 3, "doc": [Money(7)]}, {"id": 4, "doc": None}]
        await db.insert_many("docs", rows)
        await db.insert_many("docs", [{"id": number, "doc": [number]} for number in range(5, 100)])
        docs = [
            read(engine, row.doc)
            for row in await db.fetch_all("select doc from docs where doc is not null order by id")
        ]
        expected = [{"a": [{"cents": 5}], "b": 1}, {"price": Decimal("0.1")}, [{"cents": 7}]]
        assert docs == [*expected, *([number] for number in range(5, 100))]
        streamed = [read(engine, row.doc) async for row in db.stream("select doc from docs where id < 4 order by id")]
        assert streamed == expected
    async with rdskit.connect(engine.database.url, tls="off") as plain:  # of another database object
        assert read(engine, await plain.fetch_value("select doc from docs where id = 2")) in (
            {"price": 0.1},
            expected[1],
        )
        with pytest.raises(rdskit.StatementError):
            await plain.execute("insert into docs values (200, :doc)", doc=[Money(5)])


async def test_a_codec_for_another_type(engine: Engine) -> None:
    name = engine.pick("numeric", "decimal")
    async with rdskit.connect(engine.database.url, tls="off", codecs={name: MONEY}) as db:
        await db.execute("create table prices (id int primary key, price decimal(10,2), f double precision)")
        await db.execute("insert into prices values (1, :price, 0.5)", price=Money(250))
        await db.insert_many("prices", [{"id": number, "price": Money(number), "f": 0.5} for number in range(2, 100)])
        rows = await db.fetch_all("select price, f from prices where id < 3 order by id")
        assert [tuple(row) for row in rows] == [(Money(250), 0.5), (Money(2), 0.5)]
        if engine.is_postgres:
            prices = [Money(250), None, Money(0)]
            assert await db.fetch_value("select :prices::numeric[]", prices=prices) == prices


@pytest.mark.parametrize("kind", ["json", "jsonb"])
async def test_what_a_codec_cannot_read_is_an_error_that_names_the_column(engine: Engine, kind: str) -> None:
    """Two columns of the type, and the second one is at fault; the connection stays, also within a transaction."""
    if engine.name == "mariadb" or (kind == "jsonb" and not engine.is_postgres):
        return

    def decode(text: str) -> Any:
        return {"fine": 1} if "fine" in text else secret_failure(text)

    def secret_failure(text: str) -> Any:
        raise LookupError(text)

    codec = rdskit.Codec(json.dumps, decode)
    async with rdskit.connect(engine.database.url, tls="off", min_size=1, max_size=1, codecs={"json": codec}) as db:
        await db.execute(f"create table docs (id int primary key, good {kind}, wrong {kind})")
        await db.execute("""insert into docs values (1, '{"fine": 1}', '{"hidden": 1}'), (2, '{"fine": 1}', null)""")
        select = "select id, good, wrong from docs order by id"
        async with db.transaction() as tx:
            for fetch in (tx.fetch_all, tx.fetch_one, tx.fetch_all):
                with pytest.raises(rdskit.ResultError, match=rf"LookupError in column 'wrong' \({kind}\)") as told:
                    await fetch(select)
                assert "good" not in str(told.value)
                assert "hidden" not in str(told.value)
            assert await tx.fetch_value("select good from docs where id = 2") == {"fine": 1}
        with pytest.raises(rdskit.ResultError, match="'wrong'"):
            await anext(db.stream(select))
        if engine.is_postgres:
            with pytest.raises(rdskit.ResultError, match=r"took effect.* 'wrong'"):
                await db.fetch_one("""insert into docs values (3, '{"fine": 1}', '[3]') returning good, wrong""")
            with pytest.raises(rdskit.ResultError, match="'all_of_them'"):
                await db.fetch_all("select array_agg(wrong order by id) as all_of_them from docs")
        assert await db.fetch_value("select count(*) from docs") == engine.pick(3, 2)
        assert db.stats().writer.opened == 1
        assert db.stats().failures == 0


async def test_a_codec_for_a_type_that_is_not_there_is_refused_by_name(engine: Engine) -> None:
    with pytest.raises(rdskit.ConfigError, match=r"codecs= names the type 'hstore', which .* (create it|choose)"):
        await rdskit.connect(engine.database.url, tls="off", codecs={"hstore": MONEY})
    for name in engine.pick(
        ("integer", "text", "information_schema.yes_or_no", "no type at all ("), ("bigint", "text")
    ):
        with pytest.raises(rdskit.ConfigError, match=r"codecs= (names the type|has a name)"):
            await rdskit.connect(engine.database.url, tls="off", codecs={name: MONEY})


async def test_a_null_and_a_string_of_json_stay_what_they_are(engine: Engine, db: rdskit.Database) -> None:
    if engine.name == "mariadb":  # JSON is text there
        return
    await db.execute(f"create table docs (id int primary key, doc {engine.pick('jsonb', 'json')}, w varchar(20))")
    await db.execute("""insert into docs values (1, 'null', null), (2, '"7"', null), (3, null, null)""")
    null, string, nothing = [row.doc for row in await db.fetch_all("select doc from docs order by id")]
    assert null is rdskit.JSON_NULL
    assert not null
    assert copy.deepcopy(null) is null
    assert pickle.loads(pickle.dumps(null)) is null  # noqa: S301 - our own
    assert string == "7"
    assert nothing is None
    await db.execute("update docs set doc = :doc, w = :w where id = 3", doc=string, w=string)
    await db.insert_many("docs", [{"id": 4, "doc": string, "w": string}, {"id": 5, "doc": null, "w": None}])
    text = engine.pick("doc::text", "cast(doc as char)")
    stored = [tuple(row) for row in await db.fetch_all(f"select {text}, w from docs where id > 2 order by id")]
    assert stored == [('"7"', "7"), ('"7"', "7"), ("null", None)]


def test_codecs_without_an_event_loop(engine: Engine) -> None:
    with rdskit.sync.connect(engine.database.url, tls="off", codecs={"json": EXACT}) as db:
        db.execute(f"create table docs (id int primary key, doc {engine.pick('json', 'json')})")
        db.execute("insert into docs values (1, :doc)", doc=[Money(5)])
        assert read(engine, db.fetch_value("select doc from docs")) == [{"cents": 5}]


@pytest.mark.parametrize(
    ("codecs", "message"),
    [
        ([MONEY], "give a dict"),
        ({1: MONEY}, "give the name of a type"),
        ({"json": json.loads}, r"give rdskit\.Codec"),
        ({"json": rdskit.Codec(json.dumps, "loads")}, "give a function"),  # type: ignore[arg-type]  # what is tested
        ({"json": rdskit.Codec(json.dumps, json.loads, types=Money)}, "not a tuple of classes"),  # type: ignore[arg-type]  # same
    ],
)
async def test_what_is_no_codec_is_refused(codecs: Any, message: str) -> None:
    with pytest.raises(rdskit.ConfigError, match=message):
        await rdskit.connect("postgresql://localhost/shop", codecs=codecs)
