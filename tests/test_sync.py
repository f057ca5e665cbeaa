"""The sync facade on a real server: the same promises without an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import inspect
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, get_overloads

import pytest

import rdskit
from rdskit import sync
from rdskit.client.database.session import Session as AsyncSession
from rdskit.client.transactions import Transaction as AsyncTransaction
from rdskit.local.engines.waiting import poll
from rdskit.runtime.background import background

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from tests.plugins.postgres import TestDatabase

NOT_FOR_CALLERS = {
    "commit",
    "rollback",
    "abandon",
    "send_rows",
    "send_sets",
    "end",
    "observers",
    "context",
    "touched",
}


@pytest.fixture
def db(database: TestDatabase) -> Iterator[sync.Database]:
    with sync.connect(database.url, tls="off", max_size=6) as db:
        db.execute("create table account (id int primary key, balance int not null check (balance >= 0))")
        db.execute("insert into account values (1, 100), (2, 100)")
        yield db


def _balances(db: sync.Database) -> list[int]:
    return [row.balance for row in db.fetch_all("select balance from account order by id")]


def test_statements(db: sync.Database) -> None:
    row = db.fetch_one("select id, balance from account where id = :id", id=1)
    assert row is not None
    assert (row.id, row["balance"]) == (1, 100)
    assert db.execute("update account set balance = 5 where id in :ids", ids=[1, 2]) == 2
    assert db.fetch_value("select sum(balance)::int from account") == 10
    assert db.health().ok
    assert poll(lambda: db.stats().writer.in_use == 0, timeout=60)
    assert len(db.topology().hosts) == 1
    with pytest.raises(rdskit.QueryTimeout):
        db.fetch_all("select pg_sleep(10)", timeout=0.5)


def test_a_block_commits_or_rolls_back_and_nests(db: sync.Database) -> None:
    with db.transaction(isolation="serializable") as tx:
        tx.execute("update account set balance = balance - 10 where id = 1")
        with pytest.raises(rdskit.IntegrityError), tx.transaction():
            tx.execute("update account set balance = -1 where id = 2")
        assert tx.fetch_value("select balance from account where id = 1") == 90
    with pytest.raises(ZeroDivisionError), db.transaction() as tx:
        tx.execute("update account set balance = 0")
        _ = 1 / 0
    assert _balances(db) == [90, 100]
    with pytest.raises(rdskit.ConfigError, match="is not a level"), db.transaction(isolation="chaos"):  # type: ignore[arg-type]
        pass


def test_run_runs_in_the_callers_thread_and_repeats_after_conflicts(db: sync.Database) -> None:
    threads: set[str] = set()

    def increment(tx: sync.Transaction, by: int) -> int:
        threads.add(threading.current_thread().name)
        balance: int = tx.fetch_value("select balance from account where id = 1")
        tx.execute("update account set balance = :b where id = 1", b=balance + by)
        return balance + by

    with ThreadPoolExecutor(6, thread_name_prefix="caller") as pool:
        list(pool.map(lambda _: db.run(increment, args=(1,), isolation="serializable"), range(30)))
    assert _balances(db) == [130, 100]
    assert all(name.startswith("caller") for name in threads)


def test_run_raises_what_the_closure_raises(db: sync.Database) -> None:
    def refuse(tx: sync.Transaction) -> None:
        tx.execute("update account set balance = 0")
        raise LookupError("no")

    with pytest.raises(LookupError):
        db.run(refuse)
    assert _balances(db) == [100, 100]


def test_run_tells_of_a_closure_that_takes_from_an_empty_iterator(db: sync.Database) -> None:
    def empty(tx: sync.Transaction) -> int:
        tx.execute("update account set balance = 0")
        nothing: Iterator[int] = iter(())
        return next(nothing)

    with pytest.raises(RuntimeError, match="raised StopIteration") as raised:
        db.run(empty)
    assert isinstance(raised.value.__cause__, StopIteration)
    assert _balances(db) == [100, 100]


# What an annotation of the asynchronous surface reads like here.
TRANSLATED = (
    (r"Coroutine\[Any, Any, (.*)\]", r"\1"),
    (r"AsyncGenerator\[(.*), None\]", r"Generator[\1, None, None]"),
    (r"AbstractAsyncContextManager\[(.*), None\]", r"Iterator[\1]"),
    (r"AsyncIterator\[(.*)\]", r"Iterator[\1]"),
    (r"Awaitable\[(\w+)\]", r"\1"),
)


def _translated(annotation: object) -> object:
    for pattern, written in TRANSLATED:
        annotation = re.sub(pattern, written, annotation) if isinstance(annotation, str) else annotation
    return annotation


def _expected(function: Callable[..., object]) -> inspect.Signature:
    """Return the signature that the synchronous twin of a function must have."""
    signature = inspect.signature(function)
    parameters = [each.replace(annotation=_translated(each.annotation)) for each in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=_translated(signature.return_annotation))


PAIRS = (
    (rdskit.Database, sync.Database),
    (AsyncSession, sync.Session),
    (AsyncTransaction, sync.Transaction),
    (rdskit.HeldConnection, sync.HeldConnection),
)
METHODS = [
    pytest.param(theirs, ours, name, id=f"{ours.__name__}.{name}")
    for theirs, ours in PAIRS
    for name in dir(theirs)
    if not name.startswith("_") and name not in NOT_FOR_CALLERS
]


@pytest.mark.parametrize(("theirs", "ours", "name"), METHODS)
def test_each_method_of_the_async_database_is_there_with_the_same_signature(
    theirs: type[object], ours: type[object], name: str
) -> None:
    asynchronous, synchronous = inspect.getattr_static(theirs, name), inspect.getattr_static(ours, name)
    if isinstance(asynchronous, property):
        assert isinstance(synchronous, property)
        assert inspect.signature(synchronous.fget) == inspect.signature(asynchronous.fget)  # type: ignore[arg-type]  # both have one
        return
    assert inspect.signature(synchronous) == _expected(asynchronous)
    assert list(map(inspect.signature, get_overloads(synchronous))) == list(map(_expected, get_overloads(asynchronous)))


def test_connect_takes_the_same_arguments() -> None:
    assert inspect.signature(sync.connect).parameters == inspect.signature(rdskit.connect).parameters


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where the suite was started in the background, with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_the_call_and_gives_the_connection_back(database: TestDatabase) -> None:
    with sync.connect(database.url, tls="off", max_size=1) as db:
        for interrupted in (_query, _transaction, _call, _run):
            alarm = threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
            alarm.start()
            with pytest.raises(KeyboardInterrupt):
                interrupted(db)
            alarm.join()
            assert db.fetch_value("select 1") == 1
            assert poll(lambda: db.stats().writer.in_use == 0, timeout=60)


def _query(db: sync.Database) -> None:
    db.fetch_value("select pg_sleep(20)")


def _transaction(db: sync.Database) -> None:
    with db.transaction() as tx:
        tx.fetch_value("select pg_sleep(20)")


def _call(db: sync.Database) -> None:
    sync.call(db._database.fetch_value, "select pg_sleep(20)")


def _run(db: sync.Database) -> None:
    db.run(lambda tx: tx.fetch_value("select pg_sleep(20)"))


def test_asynchronous_code_is_called_on_the_loop_of_the_databases(db: sync.Database) -> None:
    async def both(left: int, *, right: int) -> tuple[int, str]:
        total = await db._database.fetch_value("select :left::int + :right::int", left=left, right=right)
        return total, threading.current_thread().name

    def at_once() -> Coroutine[Any, Any, int]:
        return asyncio.sleep(0, id(asyncio.get_running_loop()))

    assert sync.call(both, 3, right=4) == sync.call(both(3, right=4)) == (7, "rdskit")
    assert sync.call(at_once) == id(background.loop())


def test_what_asynchronous_code_raises_reaches_its_caller() -> None:
    async def fail() -> None:
        raise LookupError("no")

    async def give_up() -> None:
        raise asyncio.CancelledError

    for work in (fail, fail()):
        with pytest.raises(LookupError, match="no"):
            sync.call(work)
    with pytest.raises(concurrent.futures.CancelledError):
        sync.call(give_up)


def test_many_threads_share_few_connections(database: TestDatabase) -> None:
    with sync.connect(database.url, tls="off", max_size=3, max_waiting=40) as db, ThreadPoolExecutor(40) as threads:
        answers = list(threads.map(lambda n: db.fetch_value("select :n::int", n=n), range(400)))
        assert answers == list(range(400))
        assert db.stats().writer.opened <= 3


def test_a_wrong_target_is_one_clear_error() -> None:
    with pytest.raises(rdskit.ConfigError, match="is not one that rdskit knows"):
        sync.connect("orders")


def test_many_rows_in_and_out(db: sync.Database) -> None:
    db_rows = [{"id": number, "balance": number} for number in range(100, 5000)]
    readers: list[str] = []

    def made() -> Iterator[dict[str, int]]:
        for row in db_rows:
            readers.append(threading.current_thread().name)
            yield row

    assert db.insert_many("account", made()) == len(db_rows)
    assert set(readers) == {threading.current_thread().name}
    assert db.insert_many("account", db_rows, on_conflict="ignore") == 0
    assert db.execute_many("update account set balance = :b where id = :id", ({"b": 1, "id": n} for n in (1, 2))) == 2
    assert [row.id for row in db.stream("select id from account where id >= 100 order by id", batch=700)] == [
        row["id"] for row in db_rows
    ]
    rows = db.stream("select id from account")
    next(iter(rows))
    rows.close()
    assert poll(lambda: db.stats().writer.in_use == 0, timeout=60)
    pages = list(db.pages("select id from account where id >= :low", key="id desc", size=3000, low=100, into=dict))
    assert [len(page) for page in pages] == [3000, 1900]
    assert pages[0].rows[0] == {"id": 4999}
    with db.transaction() as tx:
        assert tx.insert_many("account", ({"id": n, "balance": 0} for n in range(6000, 6010))) == 10
        assert tx.execute_many("delete from account where id = :id", [{"id": 6000}]) == 1
        assert len(list(tx.stream("select id from account where id >= 6000", batch=2))) == 9
    assert db.fetch_all("select id from account where id = 6001", into=dict) == [{"id": 6001}]


def test_what_the_source_of_rows_raises_ends_the_insert(db: sync.Database) -> None:
    def failing() -> Iterator[dict[str, int]]:
        yield {"id": 100, "balance": 0}
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        db.insert_many("account", failing())
    assert _balances(db) == [100, 100]


def test_callbacks_run_in_the_callers_thread_once_it_is_committed(db: sync.Database) -> None:
    heard: list[object] = []

    def work(tx: sync.Transaction) -> str:
        tx.execute("update account set balance = balance - 10 where id = 1")
        tx.on_commit(lambda: heard.append((threading.current_thread(), _balances(db))))
        return "done"

    with pytest.raises(rdskit.ConfigError, match="rdskit setup TARGET"):
        db.run(work, exactly_once=True)
    assert heard == []
    db.setup()
    assert db.run(work, exactly_once=True) == "done"
    assert db.run_once("key", work) == db.run_once("key", work) == "done"
    with db.transaction() as tx:
        work(tx)
        assert len(heard) == 2
    here = threading.current_thread()
    assert heard == [(here, [90, 100]), (here, [80, 100]), (here, [70, 100])]


def test_locks_and_messages(db: sync.Database) -> None:
    db.setup()
    with db.lock("job", timeout=1):
        with pytest.raises(rdskit.QueryTimeout), db.lock("job", timeout=0.5):
            pass
        with pytest.raises(rdskit.QueryTimeout), db.transaction() as tx:
            tx.lock("job", timeout=0.5)
    with db.transaction() as tx:
        tx.lock("job", timeout=1)
        number = tx.publish("topic", "key", {"a": 1})
    assert db.fetch_value("select id from rdskit_outbox where topic = 'topic'") == number


def test_a_held_connection_keeps_its_session_for_the_block(db: sync.Database) -> None:
    heard: list[int] = []
    with db.connection() as held:
        held.execute("set work_mem = '3MB'")
        held.execute("create temporary table mine (id int)")
        with held.transaction() as tx:
            tx.execute("insert into mine values (7)")
            tx.on_commit(lambda: heard.append(threading.get_ident()))
        with pytest.raises(ZeroDivisionError), held.transaction() as tx:
            tx.execute("insert into mine values (8)")
            _ = 1 / 0
        assert [row.id for row in held.fetch_all("select id from mine")] == [7]
        row = held.fetch_one("select current_setting('work_mem') as memory")
        assert row is not None
        assert row.memory == "3MB"
        assert held.fetch_value("select 1", into=int) == 1
        assert (held.endpoint.host, held.role.name) == (db.topology().hosts[0].endpoint.host, "WRITER")
        assert repr(held).startswith("<rdskit.sync.HeldConnection ")
        with db.connections() as every:
            assert [each.fetch_value("select 2") for each in every.values()] == [2]
    assert heard == [threading.get_ident()]
    with pytest.raises(rdskit.ConfigError, match="inside its block"):
        held.execute("select 1")
    with pytest.raises(LookupError), db.connection() as held:
        raise LookupError
    assert db.fetch_value("select current_setting('work_mem')") != "3MB"
    assert poll(lambda: db.stats().writer.in_use == 0, timeout=60)


def test_messages_are_received_one_by_one(db: sync.Database) -> None:
    with db.listen("jobs") as notes:
        for number in range(3):
            db.execute("select pg_notify('jobs', :n)", n=str(number))
        received = iter(notes)
        assert [next(received).payload for _ in range(3)] == ["0", "1", "2"]
        received.close()
    with db.connection() as held:
        messages = held.listen("jobs")
        with ThreadPoolExecutor(1) as thread:
            first = thread.submit(next, messages)
            assert poll(lambda: _is_told(db, first), timeout=60)
            assert first.result().channel == "jobs"
        messages.close()
    with pytest.raises(rdskit.ConfigError, match="needs the name of a channel"):
        db.listen()


def _is_told(db: sync.Database, first: concurrent.futures.Future[Any]) -> bool:
    """Send another message, because none says when the server has begun to listen."""
    db.execute("select pg_notify('jobs', 'again')")
    return first.done()


def _stream(db: sync.Database) -> Iterator[Any]:
    return db.stream("select generate_series(1, 5000)", batch=10)


def _block(db: sync.Database) -> Iterator[int]:
    with db.transaction() as tx:
        yield tx.execute("update account set balance = 0")


@pytest.mark.parametrize("begin", [_stream, _block])
def test_what_is_collected_on_the_background_thread_gives_its_connection_back(
    db: sync.Database, begin: Callable[[sync.Database], Iterator[Any]]
) -> None:
    class Holder:
        def __init__(self) -> None:
            self.myself = self
            self.held = begin(db)

    gc.disable()
    try:
        next(Holder().held)
        assert poll(lambda: db.stats().writer.in_use == 1, timeout=60)  # others may be being reset
        background.loop().call_soon_threadsafe(gc.collect)
        assert db.fetch_value("select 1", timeout=30) == 1
        assert poll(lambda: db.stats().writer.in_use == 0, timeout=60)
    finally:
        gc.enable()
    assert _balances(db) == [100, 100]


def _insert(db: sync.Database) -> None:
    db.insert_many("account", iter([{"id": 1}]))


def test_an_observer_that_would_wait_for_its_own_thread_is_told_so(database: TestDatabase) -> None:
    told: list[str] = []
    opened: list[sync.Database] = []

    def observe(_: object) -> None:
        for db in opened:
            for call in (_query, _transaction, _call, _run, _insert):
                with pytest.raises(rdskit.ConfigError) as raised:
                    call(db)
                told.append(str(raised.value))

    with sync.connect(database.url, tls="off", observers=[observe]) as db:
        opened.append(db)
        assert db.fetch_value("select 7") == 7
        opened.clear()
    assert len(told) >= 4
    assert all("its own background thread" in message for message in told)
