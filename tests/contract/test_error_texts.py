"""Errors name tables, constraints and columns, and never the values of rows and parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import rdskit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(60)
SECRET = "ada@example.org"


async def test_no_value_is_in_an_error_and_the_constraint_is(engine: Engine, db: rdskit.Database) -> None:
    await db.execute("create table people (email varchar(80) primary key, age int not null, check (age > 0))")
    await db.execute("create table pets (email varchar(80) not null, foreign key (email) references people (email))")
    await db.execute("insert into people values (:email, 7)", email=SECRET)
    refused: dict[str, Callable[[], Awaitable[object]]] = {
        "people": lambda: db.execute("insert into people values (:email, 7)", email=SECRET),
        "age": lambda: db.execute(f"insert into people (email, age) values ('{SECRET}2', '{SECRET}')"),
        "check": lambda: db.execute("insert into people values (:email, -1)", email=f"{SECRET}3"),
        "pets": lambda: db.execute("insert into pets values (:email)", email=f"{SECRET}4"),
        "cast": lambda: db.fetch_value(engine.pick("select cast(:x as int)", "select :x + 0"), x=SECRET),
        "bulk": lambda: db.insert_many("people", [{"email": SECRET, "age": 7}]),
    }
    told = {}
    for name, call in refused.items():
        try:
            await call()
        except rdskit.RdskitError as error:
            told[name] = str(error)
    assert {"people", "age", "pets", "bulk"} <= told.keys()
    assert {name: text for name, text in told.items() if SECRET in text} == {}
    assert engine.pick("people_pkey", "PRIMARY") in told["people"]


async def test_the_drivers_own_words_stay_on_the_cause(engine: Engine, db: rdskit.Database) -> None:
    await db.execute("create table people (email varchar(80) primary key)")
    await db.execute("insert into people values (:email)", email=SECRET)
    with pytest.raises(rdskit.IntegrityError) as caught:
        await db.execute("insert into people values (:email)", email=SECRET)
    cause = caught.value.__cause__
    assert cause is not None
    assert SECRET in (getattr(cause, "detail", None) or str(cause))
    assert engine.name in {"postgres", "mariadb", "mysql"}
