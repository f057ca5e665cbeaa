"""Whatever a caller passes to the sync facade and to the smaller objects: it works, or ends with an error of ours."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest

import rdskit
from rdskit import sync
from rdskit.credentials import Iam
from tests.misuse import methods_of, outcome, outcome_here, plain_function, tries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

pytestmark = pytest.mark.timeout(120)
ENDING = {"close"}
RIGHT = {"closure": plain_function}


@pytest.fixture
def items(database: TestDatabase) -> Iterator[sync.Database]:
    with sync.connect(database.url, tls="off", min_size=1, max_size=3, timeout=5) as db:
        db.execute("create table items (id bigint)")
        db.setup()
        yield db


def misused(surface: Any, names: set[str]) -> list[str]:
    found = []
    for name in sorted(names):
        for each in tries(getattr(type(surface), name), RIGHT):
            wrong = outcome_here(functools.partial(getattr(surface, name), *each.args, **each.kwargs))
            found.extend([f"{each.told}: {wrong}"] if wrong else [])
    return found


def test_every_method_of_a_database_without_await(items: sync.Database) -> None:
    assert misused(items, set(methods_of(sync.Database)) - ENDING) == []


def test_every_method_of_a_session_without_await(items: sync.Database) -> None:
    with items.session() as session:
        assert misused(session, set(methods_of(sync.Session)) - ENDING) == []


def test_every_method_of_a_transaction_without_await(items: sync.Database) -> None:
    found = []
    for name in sorted(methods_of(sync.Transaction)):
        for each in tries(getattr(sync.Transaction, name), RIGHT):

            def call(name: str = name, each: Any = each) -> None:
                with items.transaction(exactly_once=False) as tx:
                    wrong = outcome_here(functools.partial(getattr(tx, name), *each.args, **each.kwargs))
                    found.extend([f"{each.told}: {wrong}"] if wrong else [])

            wrong = outcome_here(call)
            found.extend([f"{each.told}, at the end: {wrong}"] if wrong else [])
    assert found == []


async def test_connect(database: TestDatabase) -> None:
    right = {"target": database.url, "tls": "off", "min_size": 0, "timeout": 2.0, "connect_timeout": 2.0}
    found = []
    for each in tries(rdskit.connect, right):
        wrong = await outcome(functools.partial(rdskit.connect, *each.args, **each.kwargs))
        found.extend([f"{each.told}: {wrong}"] if wrong else [])
    assert found == []


def test_dbapi_connect(database: TestDatabase, mariadb_database: FamilyDatabase) -> None:
    found = []
    for url in (database.url, mariadb_database.url):
        right = {"target": url, "tls": "off", "timeout": 0.5, "connect_timeout": 2.0}
        for each in tries(rdskit.dbapi_connect, right):
            wrong = outcome_here(functools.partial(rdskit.dbapi_connect, *each.args, **each.kwargs))
            found.extend([f"{each.told}: {wrong}"] if wrong else [])
    assert found == []


def test_connect_without_await(database: TestDatabase) -> None:
    right = {"target": database.url, "tls": "off", "min_size": 0, "timeout": 2.0, "connect_timeout": 2.0}
    found = []
    for each in tries(sync.connect, right):
        wrong = outcome_here(functools.partial(sync.connect, *each.args, **each.kwargs))
        found.extend([f"{each.told}: {wrong}"] if wrong else [])
    assert found == []


def test_iam() -> None:
    for each in tries(Iam.__init__):
        wrong = outcome_here(functools.partial(Iam, *each.args, **each.kwargs))
        assert wrong is None, f"{each.told}: {wrong}"
