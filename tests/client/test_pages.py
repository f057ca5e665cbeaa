"""Pages on real servers: forward, back, and while others insert and delete."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Self

import pytest

import rdskit
from tests.plugins.rounds import soak

if TYPE_CHECKING:
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

SEEDS = 20
FIRST = asyncio.FIRST_COMPLETED
KEYS: dict[str, Any] = {
    "one column": "id",
    "two, one way": ("n", "id"),
    "two, both descending": ("n desc", "id desc"),
    "two, mixed": ("n desc", "id"),
    "three, with text": ("name", "n desc", "id"),
}
QUERY = "select id, n, name from entries where id >= :low"


@pytest.fixture
async def entries(items: rdskit.Database) -> rdskit.Database:
    await items.execute("create table entries (id bigint primary key, n int not null, name varchar(20) not null)")
    await items.insert_many("entries", [entry(number) for number in range(0, 1000, 5)])
    return items


def entry(number: int) -> dict[str, Any]:
    return {"id": number, "n": number // 5 % 7, "name": f"name {number % 3}"}


def in_order(key: Any) -> list[int]:
    """Return the right order, by Python's own sort."""
    numbers = list(range(0, 1000, 5))
    for part in reversed([key] if isinstance(key, str) else key):
        name, _, direction = part.partition(" ")
        numbers.sort(key=lambda number: entry(number)[name], reverse=direction == "desc")
    return numbers


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("size", [1, 7, 40, 200, 201])
async def test_forward_and_back_through_all_rows(entries: rdskit.Database, key: Any, size: int) -> None:
    expected = in_order(key)
    backward: list[int] = []
    pages = [page async for page in entries.pages(QUERY, key=key, size=size, low=0)]
    forward = [row.id for page in pages for row in page.rows]
    assert forward == expected
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    assert (pages[0].previous, pages[-1].next) == (None, None)
    if pages[-1].previous is not None:
        async for page in entries.pages(QUERY, key=key, size=size, low=0, before=pages[-1].previous):
            backward = [row.id for row in page.rows] + backward
        assert backward + [row.id for row in pages[-1].rows] == expected


async def test_a_page_can_be_asked_for_later_and_both_ways(entries: rdskit.Database) -> None:
    first = await anext(entries.pages(QUERY, key="id", size=10, low=0))
    second = await anext(entries.pages(QUERY, key="id", size=10, low=0, after=first.next))
    assert [row.id for row in second.rows] == list(range(50, 100, 5))
    again = await anext(entries.pages(QUERY, key="id", size=10, low=0, before=second.previous))
    assert [row.id for row in again.rows] == [row.id for row in first.rows]
    assert again.previous is None
    assert again.next == first.next


async def test_no_rows_are_one_empty_page(entries: rdskit.Database) -> None:
    pages = [page async for page in entries.pages(QUERY, key="id", low=5000)]
    assert [(page.rows, page.next, page.previous) for page in pages] == [([], None, None)]


async def test_what_does_not_fit_is_refused(entries: rdskit.Database) -> None:
    first = await anext(entries.pages(QUERY, key="id", size=10, low=0))
    for options, told in (
        ({"key": "id", "size": 0}, "size=0"),
        ({"key": "id", "after": first.next, "before": first.next}, "both given"),
        ({"key": "n", "after": first.next}, "belongs to another query or key"),
        ({"key": "nope"}, "not a column|nope"),
    ):
        with pytest.raises(rdskit.RdskitError, match=told):
            await anext(entries.pages(QUERY, {"low": 0}, **options))


class Neighbour:
    """Insert and delete rows on a connection of its own for as long as the block."""

    def __init__(self, db: rdskit.Database, chance: random.Random, rows: list[int]) -> None:
        self._db = db
        self._chance = chance
        self._rows = rows
        self._over = False
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._change())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await self._task

    async def more(self) -> None:
        """Wait until rows have come or gone since; the next ones do so beside whatever the caller does now."""
        self._changed.clear()
        await asyncio.wait([self._task, changed := asyncio.ensure_future(self._changed.wait())], return_when=FIRST)
        changed.cancel()

    async def _change(self) -> None:
        while not self._over:
            some = self._chance.sample(self._rows, self._chance.randint(1, 20))
            if self._chance.random() < 0.5:
                changed = await self._db.execute("delete from entries where id in :ids", ids=some)
            else:
                come = [entry(number) for number in some]
                changed = await self._db.insert_many("entries", come, on_conflict="ignore")
            if changed:
                self._changed.set()


@pytest.mark.parametrize("backward", [False, *soak(True)])
async def test_rows_that_stay_are_seen_exactly_once_while_others_come_and_go(
    entries: rdskit.Database, target: TestDatabase | FamilyDatabase, *, backward: bool
) -> None:
    async with rdskit.connect(target.url, tls="off", min_size=1, max_size=1) as other:
        for seed in range(SEEDS):
            chance = random.Random(seed)
            staying = set(chance.sample(range(0, 1000, 5), 120))
            await entries.execute("delete from entries")
            await entries.insert_many("entries", [entry(number) for number in range(0, 1000, 5)])
            async with Neighbour(other, chance, sorted(set(range(1000)) - staying)) as neighbour:
                seen, behind = await walk(entries, chance, neighbour, backward=backward)
            assert len(seen) == len(set(seen)), seed
            assert staying - behind <= set(seen), seed


async def walk(
    entries: rdskit.Database, chance: random.Random, neighbour: Neighbour, *, backward: bool
) -> tuple[list[int], set[int]]:
    """Read all pages by some key; the rows seen, and those that the walk began behind."""
    options: dict[str, Any] = {"key": chance.choice(list(KEYS.values())), "size": chance.randint(1, 30), "low": 0}
    behind: set[int] = set()
    if backward:
        last = [page async for page in entries.pages(QUERY, **{**options, "size": 60})][-1]
        options["before"] = last.previous
        behind = {row.id for row in last.rows}
    seen: list[int] = []
    async for page in entries.pages(QUERY, **options):
        seen += [row.id for row in page.rows]
        await neighbour.more()
    return seen, behind


@pytest.mark.parametrize("fixture", ["mysql_database", "mariadb_database"])
async def test_an_enumeration_is_paged_by_its_numbers(request: pytest.FixtureRequest, fixture: str) -> None:
    database: FamilyDatabase = request.getfixturevalue(fixture)
    async with rdskit.connect(database.url, tls="off") as db:
        await db.execute("create table task (id int primary key, status enum ('new', 'done', 'late') not null)")
        given = [{"id": number, "status": ("new", "done", "late")[number % 3]} for number in range(30)]
        await db.insert_many("task", given)
        query = "select *, status + 0 as place from task"
        pages = [page async for page in db.pages(query, key=("place", "id"), size=4)]
    assert [row.id for page in pages for row in page.rows] == [*range(0, 30, 3), *range(1, 30, 3), *range(2, 30, 3)]
