"""Rows as the caller's own types."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest

import rdskit
from rdskit.client.statements import into_all, into_one
from rdskit.drivers.mysql.rows import row_class

if TYPE_CHECKING:
    from tests.plugins.postgres import TestDatabase


@dataclasses.dataclass
class Plain:
    id: int
    name: str
    nickname: str = "none"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keywords:
    id: int
    name: str
    more: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Computed:
    id: int
    name: str
    label: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.label = f"{self.id}: {self.name}"


class Struct(msgspec.Struct):
    id: int
    name: str
    nickname: str = "none"


class Model(pydantic.BaseModel):
    id: int
    name: str
    nickname: str = "none"


class Aliased(pydantic.BaseModel):
    number: int = pydantic.Field(alias="id")
    name: str


class Open(pydantic.BaseModel, extra="allow"):
    id: int


class Named(NamedTuple):
    id: int
    name: str
    nickname: str = "none"


class Typed(TypedDict):
    id: int
    name: str


def row(**values: Any) -> Any:
    return row_class(tuple(values))(values.values())


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Plain, Plain(7, "Ada")),
        (Keywords, Keywords(id=7, name="Ada")),
        (Computed, Computed(7, "Ada")),
        (Struct, Struct(7, "Ada")),
        (Model, Model(id=7, name="Ada")),
        (Aliased, Aliased(id=7, name="Ada")),
        (Named, Named(7, "Ada")),
        (Typed, {"id": 7, "name": "Ada"}),
        (dict, {"id": 7, "name": "Ada"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_row_becomes_a_value_whatever_the_order_of_its_columns(kind: Any, expected: Any) -> None:
    assert into_one(row(id=7, name="Ada"), kind) == expected
    assert into_all([row(name="Ada", id=7), row(name="Ada", id=7)], kind) == [expected, expected]
    assert type(into_one(row(id=7, name="Ada"), kind)) is type(expected)


@pytest.mark.parametrize("kind", [Plain, Keywords, Struct, Model, Named, Typed], ids=lambda kind: kind.__name__)
def test_columns_that_do_not_fit_are_named_with_the_type(kind: Any) -> None:
    with pytest.raises(
        rdskit.ConfigError, match=rf"into={kind.__name__} does not fit .* no column for its field 'name'"
    ):
        into_one(row(id=7), kind)
    with pytest.raises(rdskit.ConfigError, match=rf"into={kind.__name__} does not fit .* no field for column 'age'"):
        into_all([row(id=7, name="Ada", age=36)], kind)
    with pytest.raises(rdskit.ConfigError, match="column 'id' occurs twice"):
        into_one(row_class(("id", "id", "name"))((1, 2, "x")), kind)


def test_a_default_stands_in_for_a_column() -> None:
    assert into_one(row(name="Ada", nickname="A", id=1), Plain) == Plain(1, "Ada", "A")
    gap = dataclasses.make_dataclass("gap", [("a", int), ("b", int, 2), ("c", int, 3)])
    assert into_one(row(a=1, c=9), gap) == gap(1, 2, 9)


def test_no_row_stays_none_and_no_rows_stay_no_rows() -> None:
    assert into_one(None, Plain) is None
    assert into_all([], Plain) == []
    assert into_one(row(id=1, name="x", other=3), Open) == Open(id=1, name="x", other=3)  # type: ignore[call-arg]  # extra


@pytest.mark.parametrize("kind", [int, list, str, object, None.__class__])
def test_other_types_are_refused(kind: Any) -> None:
    with pytest.raises(rdskit.ConfigError, match="cannot convert rows to a"):
        into_one(row(id=1), kind)


def test_values_are_converted_where_the_type_does_that_and_never_told() -> None:
    class WithId(msgspec.Struct):
        id: uuid.UUID
        paid: bool

    class ModelWithId(pydantic.BaseModel):
        id: uuid.UUID
        paid: bool

    told = row(id="12345678-1234-5678-1234-567812345678", paid=1)
    kinds: list[Any] = [WithId, ModelWithId]
    for kind in kinds:
        value = into_one(told, kind)
        assert value is not None
        assert (value.id, value.paid) == (uuid.UUID("12345678-1234-5678-1234-567812345678"), True)
        with pytest.raises(rdskit.ConfigError, match=f"into={kind.__name__} does not fit a row") as caught:
            into_one(row(id="secret", paid=1), kind)
        assert "secret" not in str(caught.value)


async def test_in_every_method_that_gives_rows(database: TestDatabase) -> None:
    query = "select n as id, 'n' || n as name from generate_series(1, 250) n"
    expected = [Struct(number, f"n{number}") for number in range(1, 251)]
    async with rdskit.connect(database.url, tls="off") as db:
        assert await db.fetch_one(query, into=Struct) == expected[0]
        assert await db.fetch_one(f"{query} where false", into=Struct) is None
        assert await db.fetch_all(query, into=Struct) == expected
        assert [value async for value in db.stream(query, into=Struct, batch=99)] == expected
        assert [value async for page in db.pages(query, into=Struct, key="id") for value in page.rows] == expected
        async with db.transaction() as tx:
            assert await tx.fetch_one(query, into=Struct) == expected[0]
            assert await tx.fetch_all(query, into=Struct) == expected
            assert [value async for value in tx.stream(query, into=Struct)] == expected


@pytest.mark.no_server
def test_neither_msgspec_nor_pydantic_is_imported_unasked() -> None:
    code = (
        "import sys, dataclasses, rdskit.client.statements as s\n"
        "from rdskit.drivers.mysql.rows import row_class\n"
        "kind = dataclasses.make_dataclass('K', ['a'])\n"
        "assert s.into_one(row_class(('a',))((1,)), kind).a == 1\n"
        "assert not {'msgspec', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
