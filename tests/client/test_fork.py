"""A fork shares sockets: the child must not touch its parent's, and its error says what to do instead."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import warnings
from typing import TYPE_CHECKING, Any

import rdskit
from rdskit import sync

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.plugins.postgres import TestDatabase

TIMEOUT = 20  # seconds for a child


def in_forked_child(work: Callable[[], str]) -> str:
    """Run in a child made by ``os.fork`` and give what it said."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python ≥ 3.12 warns of threads; they are the point here
        child = os.fork()
    if not child:
        try:
            said = work()
        except BaseException as error:  # noqa: BLE001 - carried to the parent
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)  # nothing of the parent's test run may end here
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def test_a_database_is_refused_in_a_child_and_unharmed_in_the_parent(database: TestDatabase) -> None:
    async def ask(db: rdskit.Database) -> str:
        return str(await db.fetch_value("select 'answer'"))

    async def close(db: rdskit.Database) -> None:
        await db.close()

    def use_and_close(db: rdskit.Database) -> str:
        asyncio.run(close(db))
        return asyncio.run(ask(db))

    with asyncio.Runner() as runner:
        db = runner.run(_connect(database.url))
        before = runner.run(_pids(db))
        for _ in range(3):
            said = in_forked_child(lambda: use_and_close(db))
            assert said.startswith("ConfigError"), said
            assert "connect again after the fork" in said
        assert runner.run(_pids(db)) == before
        assert db.stats().failures == 0
        runner.run(db.close())


def test_a_fork_inside_the_running_loop(database: TestDatabase) -> None:
    async def fork_while_queries_run(db: rdskit.Database) -> list[int]:
        queries = [asyncio.ensure_future(db.fetch_value("select 7 from pg_sleep(0.3)")) for _ in range(4)]
        await asyncio.sleep(0)
        assert in_forked_child(lambda: str(db.closed)) == "True"
        answers: list[int] = await asyncio.gather(*queries)
        return answers

    with asyncio.Runner() as runner:
        db = runner.run(_connect(database.url))
        assert runner.run(fork_while_queries_run(db)) == [7] * 4
        assert db.stats().failures == 0
        runner.run(db.close())


def test_the_sync_facade_connects_anew_in_a_child(database: TestDatabase) -> None:
    with sync.connect(database.url, tls="off", min_size=1, max_size=1) as db:
        parents = db.fetch_value("select pg_backend_pid()")
        childs = in_forked_child(lambda: str(db.fetch_value("select pg_backend_pid()")))
        assert childs.isdecimal(), childs
        assert int(childs) != parents
        assert db.fetch_value("select pg_backend_pid()") == parents
    assert "is closed" in in_forked_child(lambda: str(db.fetch_value("select 1")))


def _worker(answers: Any) -> None:
    assert shared is not None
    answers.put([shared.fetch_value("select :n::int", n=n) for n in range(10)])
    shared.close()


shared: sync.Database | None = None


def test_a_server_that_opens_its_database_before_it_forks_workers(database: TestDatabase) -> None:
    global shared  # noqa: PLW0603 - what a preloaded application is
    context = multiprocessing.get_context("fork")
    with sync.connect(database.url, tls="off", min_size=1, max_size=2) as shared:
        answers = context.Queue()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            workers = [context.Process(target=_worker, args=(answers,)) for _ in range(3)]
            for worker in workers:
                worker.start()
        assert [answers.get(timeout=TIMEOUT) for _ in workers] == [list(range(10))] * 3
        for worker in workers:
            worker.join(TIMEOUT)
            assert worker.exitcode == 0
        answers.close()
        answers.join_thread()
        assert shared.fetch_value("select 1") == 1
        assert shared.stats().failures == 0
    shared = None


async def _connect(url: str) -> rdskit.Database:
    return await rdskit.connect(url, tls="off", min_size=4, max_size=4)


async def _pids(db: rdskit.Database) -> set[int]:
    answers = await asyncio.gather(*(db.fetch_value("select pg_backend_pid() from pg_sleep(0.3)") for _ in range(4)))
    return set(answers)
