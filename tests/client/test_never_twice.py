"""Whatever goes wrong, and however often: nothing that is not idempotent happens twice, and every answer is true.

The server is made up, behind the driver's port; executor, cluster and pools are the real ones, in virtual time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import looptime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdskit.client.database.executor import Executor
from rdskit.client.failover import Cluster, StaticSource
from rdskit.client.failover.access import Access
from rdskit.client.pool import PoolLimits
from rdskit.client.replicas import Routines, WritePosition
from rdskit.client.statements import calls
from rdskit.client.statements.hooks import WriteHooks
from rdskit.errors import FailoverError, OutcomeUnknown, QueryError, RdskitError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import Capabilities, DriverError, Login, Result
from rdskit.kernel.sql import Dialect, Statement, StatementCache
from rdskit.kernel.sql.compile import compile_statement
from rdskit.kernel.topology import Role
from rdskit.runtime.deadlines import Deadline
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import Sequence

HOST = Endpoint("db", 5432)
WRITE = compile_statement("update account set balance = balance - 1", Dialect.POSTGRES)
CALL = compile_statement("call charge(1)", Dialect.POSTGRES)
# What a server that answers says; it has done nothing then, unless the statement commits by itself. In the other cases
# only it knows.
ANSWERED = {Failure.READ_ONLY, Failure.CONFLICT, Failure.REFUSED}


class Blow(NamedTuple):
    """What happens to one attempt."""

    failure: Failure
    done: bool  # the statement was executed all the same, and its answer lost


any_blows = st.builds(Blow, st.sampled_from(Failure), st.booleans())
blows = any_blows.map(lambda blow: Blow(blow.failure, blow.done and blow.failure not in ANSWERED))


class Server:
    """Executes statements; each attempt takes the next blow, and all is well when none is left."""

    capabilities = Capabilities()

    def __init__(self, blows: Sequence[Blow]) -> None:
        self.blows = list(blows)
        self.executed = 0

    async def connect(self, _options: object, _login: object) -> Any:
        return MadeUpConnection(self)

    async def login(self, _endpoint: object, *, refused: Login | None = None) -> Login:
        assert refused is None
        return Login("app", None)


class MadeUpConnection:
    """A connection that executes one statement at a time."""

    def __init__(self, server: Server) -> None:
        self.endpoint, self.role = HOST, Role.WRITER
        self.broken = self.interrupted = self.in_transaction = False
        self._server = server

    async def execute(self, _text: str, _args: Sequence[Any], _timeout: float | None) -> Result:
        await asyncio.sleep(0.001)
        blow = self._server.blows.pop(0) if self._server.blows else None
        self._server.executed += blow is None or blow.done
        if blow is not None:
            self.broken = blow.failure is Failure.LOST
            public = FailoverError("lost") if blow.failure is Failure.LOST else QueryError(blow.failure.value)
            raise DriverError(blow.failure, public)
        return Result(1)

    async def ping(self, _timeout: float) -> None:
        await asyncio.sleep(0)

    async def close(self, _timeout: float) -> None:
        await asyncio.sleep(0)

    def stop(self) -> bool:
        return False

    def abort(self) -> None:
        self.broken = True


async def write(server: Server, statement: Statement = WRITE) -> RdskitError | None:
    """Execute one statement; give the error that the application sees."""
    access = Access(server, server, database=None, tls=None, connect_timeout=1.0, application_name="test")
    owner = TaskOwner("test")
    cluster = Cluster(StaticSource(HOST), access, PoolLimits(min_size=1, max_size=2), readers=False)
    try:
        await cluster.start(Deadline.after(5))
        routines = Routines(cluster, StatementCache(Dialect.POSTGRES), owner)
        executor = Executor(cluster, None, WritePosition(owner), routines, "session", WriteHooks(cluster, owner))
        await executor.run(calls.execute, statement, None, {}, 30.0)
    except RdskitError as error:
        return error
    finally:
        await owner.close()
        await cluster.close()
    return None


@given(st.lists(blows, max_size=12))
def test_a_write_is_never_executed_twice_and_its_error_tells_the_truth(blows: list[Blow]) -> None:
    server = Server(blows)
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        error = runner.run(write(server))
    assert server.executed <= 1
    if error is None:
        assert server.executed == 1
    elif isinstance(error, FailoverError) and not isinstance(error, OutcomeUnknown):
        assert server.executed == 0, "it promised that nothing was done"


@given(st.lists(any_blows, max_size=12))
def test_a_procedure_that_commits_half_way_is_never_run_twice(blows: list[Blow]) -> None:
    server = Server(blows)
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        error = runner.run(write(server, CALL))
    assert server.executed <= 1
    if isinstance(error, FailoverError) and not isinstance(error, OutcomeUnknown):
        assert server.executed == 0, "it promised that nothing was done"


@pytest.mark.parametrize("failure", [Failure.CONFLICT, Failure.READ_ONLY])
def test_what_a_procedure_did_before_it_met_a_conflict_or_a_reader_is_unknown(failure: Failure) -> None:
    server = Server([Blow(failure, done=True)])
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        error = runner.run(write(server, CALL))
    assert isinstance(error, OutcomeUnknown)
    assert "may have committed a part" in str(error)


@pytest.mark.parametrize("done", [False, True])
def test_a_write_whose_answer_was_lost_is_sent_once(done: bool) -> None:  # noqa: FBT001 - a parameter of the test
    server = Server([Blow(Failure.LOST, done)])
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        assert isinstance(runner.run(write(server)), OutcomeUnknown)
    assert server.executed == done
