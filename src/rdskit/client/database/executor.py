"""Run one statement outside a transaction on the right host, and retry it by the retry table."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from rdskit.errors import (
    ConfigError,
    FailoverError,
    OutcomeUnknown,
    QueryTimeout,
    RdskitError,
    ReadOnlyError,
    ResultError,
    StaleReadError,
)
from rdskit.kernel.attempts import Attempts, explain
from rdskit.kernel.backoff import TRANSACTION
from rdskit.kernel.failures import Action, Failure, Phase, action_for
from rdskit.kernel.ports import DriverError
from rdskit.kernel.positions import START, Position
from rdskit.kernel.scope import NO_SCOPE, Scope
from rdskit.kernel.sql import Kind, Statement, bind_call, refuse_listening
from rdskit.runtime.deadlines import Deadline
from rdskit.runtime.running import clock_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from rdskit.client.failover import Cluster
    from rdskit.client.pool import Lease
    from rdskit.client.replicas import Borrowed, Reader, ReaderCall, Readers, Routines, WritePosition
    from rdskit.client.statements.calls import Call
    from rdskit.client.statements.hooks import WriteHooks
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Params

_KNOWN_WITHIN = 0.05  # seconds that a read waits for the position it must see, before it goes to the writer
# Retries per statement and kind of failure; after a lost connection only the deadline limits them. All calls share the
# cluster's retry budget. Conflicts do not count against it, because a server that reports one is healthy.
_REPEATS = {Failure.LOST: math.inf, Failure.READ_ONLY: 8, Failure.CONFLICT: 8, Failure.UNWELL: 1}

T = TypeVar("T")

_PLAIN = frozenset({Kind.READ, Kind.WRITE})


class Work(NamedTuple, Generic[T]):
    """One statement to run.

    Attributes:
        call: starts it on a connection.
        statement: the compiled statement.
        text: its text for the driver.
        args: its arguments.
        deadline: deadline of the whole call.
        after: the position that a read must see besides the session's own writes; None if only the writer shows it.
    """

    call: Call[T]
    statement: Statement
    text: str
    args: Sequence[Any]
    deadline: Deadline
    after: Position | None = START


class Executor:
    """Runs statements outside transactions.

    Attributes:
        scope: the tenant, role and schema that they run with.
    """

    def __init__(
        self,
        cluster: Cluster,
        readers: Readers | None,
        written: WritePosition,
        routines: Routines,
        consistency: str,
        hooks: WriteHooks,
        scope: Scope = NO_SCOPE,
    ) -> None:
        self._cluster = cluster
        self._hooks = hooks
        self.scope = scope
        self._routines = routines
        self._readers = readers
        self._written = written
        self._consistency = consistency
        self._retries = cluster.retries
        self._clock = clock_of(asyncio.get_running_loop())

    async def run(
        self,
        call: Call[T],
        statement: Statement,
        params: Params | None,
        named: dict[str, Any],
        timeout: float | None,
        after: Position | None = START,
    ) -> T:
        """Run a statement on the right host. Every query passes here, so the usual case is inlined.

        Args:
            call: starts the statement on a connection, one of ``statements.calls``.
            statement: the compiled statement.
            params: its parameters as a mapping, or None.
            named: its parameters as keywords.
            timeout: seconds for the whole call, retries included; None for no limit.
            after: the position that a read must see besides the session's own writes; None if only the writer shows it.

        Raises:
            ConfigError: the parameters do not fit the statement.
        """
        text, args = text_and_arguments(statement, params, named)
        started = self._clock()
        routed = self._cluster.routes_reads
        for_readers = routed and (statement.repeatable or self.needs_reader(statement, after))
        if for_readers and self._consistency != "strong":
            return await self._read(Work(call, statement, text, args, _until(started, timeout), after))
        writer = self._cluster.writer
        lease = writer.take(started)
        # The slow path: no idle connection, one with another scope, or a statement that `_write` refuses.
        if lease is None or lease.scope is not self.scope or not (statement.repeatable or statement.kind in _PLAIN):
            if lease is not None:
                lease.give_back()
            return await self._write(Work(call, statement, text, args, _until(started, timeout)), None)
        lease.dirty = statement.dirties_session  # before it is sent: a failed call may leave a lock or a transaction
        lease.settles = not statement.repeatable
        # From here to the answer nothing else may be awaited: the watchdog would cancel it in place of the call.
        try:
            writer.watchdog.begin(lease, math.inf if timeout is None else started + timeout)
            answer = await call(lease.connection, text, args)
        except BaseException as failed:
            error = writer.watchdog.verdict(lease, failed)
            if not isinstance(error, DriverError):
                await self._abandon(lease, statement, error)
                raise
            lease.give_back()
            # `_write` decides about a retry; the deadline still counts from the start of the first attempt.
            return await self._write(Work(call, statement, text, args, _until(started, timeout)), error)
        lease.due = math.inf
        if statement.repeatable and (not routed or self._written.is_known):
            writer.give_back(lease)
        else:
            self._settle(lease, statement)
            if self._hooks.active and not statement.repeatable:
                await self._hooks.committed(statement.tables.writes, self._written, self.scope)
        if self._retries.in_debt:
            self._retries.succeeded()
        return answer

    # -- the writer ------------------------------------------------------------------------------------------------

    async def _write(self, work: Work[T], error: DriverError | None) -> T:
        """Run on the writer, and retry while the retry table allows it."""
        _require_plain(work.statement)
        repeats: dict[Failure, int] = {}
        attempts: Attempts | None = None
        # No connection is held while this waits between two attempts.
        while True:
            if error is not None:
                attempts = attempts or Attempts()
                await self._retry_or_raise(work, error, repeats, attempts)
            try:
                lease = await self._cluster.acquire_writer(work.deadline, self.scope)
            except RdskitError as refused:
                if attempts is not None:
                    attempts.failed(refused)
                    explain(refused, attempts.summary("the statement", f"{type(refused).__name__} is not repeated"))
                raise
            lease.dirty = lease.dirty or work.statement.dirties_session  # also if it fails
            try:
                answer = await _run(lease, work)
            except DriverError as failed:
                lease.give_back()
                error = failed
            except BaseException as abandoned:
                await self._abandon(lease, work.statement, abandoned)
                raise
            else:
                self._settle(lease, work.statement)
                if self._hooks.active and not work.statement.repeatable:
                    await self._hooks.committed(work.statement.tables.writes, self._written, self.scope)
                if self._retries.in_debt:
                    self._retries.succeeded()
                return answer

    async def _retry_or_raise(
        self, work: Work[Any], error: DriverError, repeats: dict[Failure, int], attempts: Attempts
    ) -> None:
        """Wait, and return if the statement may be retried; otherwise raise the caller's error."""
        writes = not work.statement.repeatable
        self._cluster.report(error.failure)
        action = self._action(work.statement, error)
        repeats[error.failure] = count = repeats.get(error.failure, 0) + 1
        attempts.failed(error.public)
        # Timeouts draw on the retry budget too: an overloaded server must not also get retries.
        if error.failure is Failure.TIMEOUT:
            self._retries.timed_out()
        if action is Action.RETRY and count <= _REPEATS[error.failure] and not work.deadline.passed:
            if error.failure is not Failure.CONFLICT and not self._retries.may_retry():
                raise _budget_is_spent(error) from error.__cause__
            self._retrying(work.statement, error.failure, count)
            if error.failure is not Failure.LOST:  # after a lost connection, the pool's opener paces the attempts
                pause = TRANSACTION.delay(count, random.random())  # noqa: S311 - jitter, not a secret
                await asyncio.sleep(work.deadline.bounded(pause))
            return
        # The position of a write that may have taken effect is unknown: reads go to the writer until it is read there.
        if writes and (action is Action.UNKNOWN or isinstance(error.public, ResultError) or not work.statement.atomic):
            self._written.lost_track()
        raised = public_error(error, action, work.statement)
        if (attempts.total > 1 or action is Action.RETRY) and isinstance(raised, RdskitError):
            explain(raised, attempts.summary("the statement", _reason_to_stop(error, action, work, count)))
        if writes and self._hooks.active and (action is Action.UNKNOWN or not work.statement.atomic):
            await self._hooks.uncertain(work.statement.tables.writes, self.scope, raised)
        raise raised from error.__cause__

    def _action(self, statement: Statement, error: DriverError) -> Action:
        if statement.atomic or not self._cluster.takes_writes:  # a read-only host commits nothing
            return action_for(error.failure, Phase.STATEMENT, writes=not statement.repeatable)
        # A procedure may have committed before its timeout; also before one of the server's own limits, which the
        # server reports as an ordinary error.
        if isinstance(error.public, QueryTimeout):
            return Action.UNKNOWN
        return action_for(error.failure, Phase.PROCEDURE, writes=True)

    def _retrying(self, statement: Statement, failure: Failure, count: int) -> None:
        """Notify observers before a retry; this executor has none."""

    async def _abandon(self, lease: Lease, statement: Statement, error: BaseException) -> None:
        """Check the connection in after the caller was cancelled; a write may have happened."""
        if not statement.repeatable:
            self._written.lost_track()
        lease.give_back()
        if self._hooks.active and not statement.repeatable:
            await self._hooks.uncertain(statement.tables.writes, self.scope, error)

    def _settle(self, lease: Lease, statement: Statement) -> None:
        """Check a connection in after its answer; if there are readers, read the writer's position first."""
        if not self._cluster.readers:
            if not statement.repeatable:
                self._written.lost_track()  # read later, if a reader joins or the application asks for a token
            lease.give_back()
        elif statement.repeatable:
            self._written.capture(lease)
        else:
            self._written.wrote(lease)
            if statement.unknown:
                self._routines.learn(statement)

    # -- the readers -----------------------------------------------------------------------------------------------

    async def borrow(self, statement: Statement, deadline: Deadline, after: Position | None = START) -> Borrowed | None:
        """Check out a connection to a reader that shows what a statement must see; None sends it to the writer."""
        # A statement with unknown functions goes to the writer this time; the look-up serves its later calls.
        if statement.unknown and self._cluster.routes_reads:
            self._routines.learn(statement)
        if not self._cluster.routes_reads or self._consistency == "strong":
            return None
        if not statement.repeatable and not self.needs_reader(statement, after):
            return None
        return await self._borrow(after, deadline)

    def needs_reader(self, statement: Statement, after: Position | None) -> bool:
        """Return whether a known reader has to serve it: without a writer, the entry may lead to any reader."""
        if statement.kind is not Kind.READ or self._cluster.takes_writes:
            return False
        return after is not START or self._written.position is not START

    async def _borrow(self, after: Position | None, deadline: Deadline, avoid: Reader | None = None) -> Borrowed | None:
        if self._readers is None and self._cluster.takes_writes:
            return None
        position = await self._position_to_see(after)
        borrowed = None if self._readers is None else await self._readers.borrow(position, deadline, avoid, self.scope)
        if borrowed is None and position is not START and not self._cluster.takes_writes:
            raise writer_is_elsewhere(self._cluster.writer.endpoint)
        return borrowed

    async def _read(self, work: Work[T]) -> T:
        # A read has no effect, so after any failure of a reader it may simply run on another host.
        borrowed = await self._borrow(work.after, work.deadline)
        failures = 0
        while borrowed is not None:
            borrowed.lease.dirty = work.statement.dirties_session
            try:
                answer = await _run(borrowed.lease, work)
            except DriverError as error:
                failures += 1
                self._retry_read_or_raise(work, borrowed, error, failures)
                if self._cluster.takes_writes and (error.failure is not Failure.CONFLICT or failures > 1):
                    break
                # Either a hot standby canceled the query because of a recovery conflict, and another reader may have
                # replayed less or more; or there is no writer to retry on.
                borrowed = await self._borrow(work.after, work.deadline, avoid=borrowed.reader)
            except BaseException:
                borrowed.given_up()
                raise
            else:
                borrowed.give_back()
                if self._retries.in_debt:
                    self._retries.succeeded()
                return answer
        self.count_sent_to_writer()
        return await self._write(work, None)

    def count_sent_to_writer(self) -> None:
        """Count a read that a reader might have served."""
        if self._readers is not None and self._cluster.takes_writes:
            self._readers.sent_to_writer += 1

    def _retry_read_or_raise(self, work: Work[Any], borrowed: ReaderCall, error: DriverError, failures: int) -> None:
        """Return if a read may be retried on another host; otherwise raise the caller's error."""
        if error.failure is Failure.REFUSED:  # an error of the statement, not of the reader
            borrowed.give_back()
        else:
            borrowed.failed(error.failure)
        action = action_for(error.failure, Phase.STATEMENT, writes=not work.statement.repeatable)
        if action is Action.UNKNOWN:
            raise public_error(error, action, work.statement) from error.__cause__
        if action is not Action.RETRY or not (self._cluster.takes_writes or _may_go_on(work, error.failure, failures)):
            raise error.public from error.__cause__
        if error.failure is not Failure.CONFLICT and not self._retries.may_retry():
            raise _budget_is_spent(error) from error.__cause__
        self._retrying(work.statement, error.failure, failures)

    async def _position_to_see(self, after: Position | None) -> Position | None:
        """Return the position that a read must see; None if only the writer is sure to show it."""
        if after is None or (after is not START and self._readers is not None and not self._readers.can_tell(after)):
            return None
        if self._consistency == "eventual":
            return after
        if not self._written.is_known and not await self._written.known(_KNOWN_WITHIN):
            return None
        return self._written.position if after is START else self._written.position.merge(after)


def writer_is_elsewhere(entry: Endpoint) -> StaleReadError:
    """Return the error for a read that only the writer could serve, on a target that leads to readers only."""
    return StaleReadError(
        f"no reader shows what this read must see, and {entry} leads to no writer: retry in a moment, or connect by "
        "the cluster's own endpoint"
    )


def text_and_arguments(statement: Statement, params: Params | None, named: dict[str, Any]) -> tuple[str, Sequence[Any]]:
    """Return the text and arguments for the driver, with shortcuts for the usual cases."""
    if params is None and len(named) == 1 and statement.only in named:  # comparing sets of names costs 3 µs
        return statement.text, [named[statement.only]]
    if params is None and named.keys() == statement.parameters and statement.plain:
        return statement.text, list(map(named.__getitem__, statement.names))
    return bind_call(statement, params, named)


def _run(lease: Lease, work: Work[T]) -> Coroutine[Any, Any, T]:
    call = work.call(lease.connection, work.text, work.args)
    return lease.run(call, work.deadline.due, settles=not work.statement.repeatable)


def _may_go_on(work: Work[Any], failure: Failure, failures: int) -> bool:
    """Return whether to retry on one more reader, if there is no writer."""
    return failure is not Failure.READ_ONLY and failures <= _REPEATS[failure] and not work.deadline.passed


def _until(started: float, timeout: float | None) -> Deadline:
    return Deadline(None if timeout is None else started + timeout, timeout)


def public_error(error: DriverError, action: Action, statement: Statement) -> Exception:
    """Return the caller's exception for an error after which the statement is not retried."""
    if action is Action.UNKNOWN:
        happened = "may have happened" if statement.atomic else "may have committed a part of its work, or all"
        return OutcomeUnknown(f"{error.public}; the statement had been sent and {happened}: check before you repeat it")
    if isinstance(error.public, ReadOnlyError):
        return ReadOnlyError(
            f"{error.public}; the writer itself refuses writes: is default_transaction_read_only or read_only set?",
            sqlstate=error.public.sqlstate,
            errno=error.public.errno,
        )
    if action is Action.RETRY and isinstance(error.public, FailoverError):
        return FailoverError(f"{error.public}; nothing was changed")
    return error.public


def _reason_to_stop(error: DriverError, action: Action, work: Work[Any], count: int) -> str:
    if work.deadline.passed:
        return f"its deadline of {work.deadline.budget:g} s has passed"
    if action is Action.RETRY and count > _REPEATS[error.failure]:
        return f"it is repeated {_REPEATS[error.failure]:g} times at most after such an error"
    return f"{type(error.public).__name__} is not repeated"


def _budget_is_spent(error: DriverError) -> FailoverError:
    return FailoverError(
        f"{error.public}; nothing was changed, and it is not retried: too many calls fail, so the retry budget is spent"
    )


def _require_plain(statement: Statement) -> None:
    if statement.repeatable:  # most calls that wait for a connection
        return
    if statement.kind is Kind.TRANSACTION:
        raise ConfigError(f"{statement.source.strip()!r} has no meaning on a pool: use db.transaction() or db.run()")
    refuse_listening(statement)
    if statement.kind is Kind.SESSION:
        raise ConfigError(
            f"{statement.source.strip()!r} changes only its own connection, which goes back to the pool: "
            "use it inside db.transaction()"
        )
