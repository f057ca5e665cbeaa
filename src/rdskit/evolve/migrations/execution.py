"""Run one migration: in one transaction where the server can, else statement by statement with a journal."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from rdskit.client.api import dialect_of
from rdskit.errors import ConfigError, FailoverError, PlanError
from rdskit.evolve.migrations.ddl import read_ddl
from rdskit.evolve.migrations.history import forget, read_history, record
from rdskit.evolve.migrations.jobs import job_id, last_job
from rdskit.evolve.migrations.model import Direction
from rdskit.evolve.migrations.probes import fingerprint, has_happened, invalid_indexes, mark_of
from rdskit.evolve.migrations.statements import limit_locks, repeated, run_ddl
from rdskit.kernel.sql import Dialect
from rdskit.plans import JobState, Plan, Step, StepState, TableJournal, apply, atomic, resume
from rdskit.plans.model import replay

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from types import ModuleType

    from rdskit.client.api import Database, Transaction
    from rdskit.evolve.migrations.lock import MigrationLock
    from rdskit.evolve.migrations.model import Migration, Script, Statement
    from rdskit.evolve.migrations.statements import Patience
    from rdskit.plans import Job, Probe, Progress, StepContext
    from rdskit.plans.model import StepRecord

_WRITES = frozenset({"insert", "update", "delete", "replace", "merge", "with"})
_ATTEMPTS = 8  # of one transaction whose connection is lost


class Execution:
    """Run migrations under the migration lock.

    Args:
        db: the database, without a limit for a statement's time.
        product: the product from ``server_version``.
        lock: verified before each statement.
        patience: how long statements wait for locks.
        progress: called with the version, the direction, and what is being done.
        finished: receives the versions that were applied or undone, in order.
    """

    def __init__(
        self,
        db: Database,
        product: str,
        lock: MigrationLock,
        patience: Patience,
        progress: Callable[[str, Direction, str], None],
        finished: list[str],
    ) -> None:
        self._db = db
        self._product = product
        self._lock = lock
        self._patience = patience
        self._progress = progress
        self._finished = finished

    async def run(self, migration: Migration, direction: Direction) -> None:
        """Apply a migration, or take it back; what an earlier process left unfinished is finished.

        Raises:
            QueryError: a statement was refused.
            PlanError: a statement that commits by itself failed, or its outcome is unknown.
        """
        self._progress(migration.version, direction, "begins")
        if migration.is_python:
            await self._python(migration, direction)
        else:
            script = migration.up if direction is Direction.UP else migration.down
            assert script is not None
            if self._product == "postgres" and script.transactional:
                await self._in_transaction(migration, direction, script)
            else:
                await self._by_steps(migration, direction, self._steps(script))
        self._finished.append(migration.version)
        self._progress(migration.version, direction, "done")

    # -- one transaction ---------------------------------------------------------------------------------------------

    async def _in_transaction(self, migration: Migration, direction: Direction, script: Script) -> None:
        async def work(tx: Transaction) -> None:
            for statement in script.statements:
                self._progress(migration.version, direction, _line(statement.text))
                await tx.execute(statement.text)

        await self._transactional(migration, direction, self._patient(script), work)

    async def _transactional(
        self, migration: Migration, direction: Direction, patience: Patience, work: Callable[[Transaction], Any]
    ) -> None:
        """Run the work and its row of the history in one transaction, until it has happened."""

        async def attempt() -> None:
            await self._lock.verify()
            async with self._db.connection() as connection, connection.transaction() as tx:
                if dialect_of(self._db) is Dialect.POSTGRES:
                    await tx.execute(f"set local lock_timeout = {round(patience.lock_timeout * 1000)}")
                await work(tx)
                await (record if direction is Direction.UP else forget)(tx, migration)

        lost = 0
        while True:
            try:
                await repeated(attempt, patience, lambda text: self._progress(migration.version, direction, text))
            except FailoverError:
                lost += 1
                # The row of the history is in the same transaction: it shows whether the lost COMMIT took effect.
                if (migration.version in await read_history(self._db)) is (direction is Direction.UP):
                    return
                await self._lock.verify()
                if lost == _ATTEMPTS:
                    raise
            else:
                return

    # -- statement by statement --------------------------------------------------------------------------------------

    async def _by_steps(self, migration: Migration, direction: Direction, steps: list[Step]) -> None:
        async def write(tx: Transaction, context: StepContext) -> None:
            del context
            await (record if direction is Direction.UP else forget)(tx, migration)

        def tell(report: Progress) -> None:
            if report.text:
                self._progress(migration.version, direction, f"{report.step}: {report.text}")

        number, before = await last_job(self._db, migration.version, direction)
        journal = TableJournal(self._db, locks=False)  # the migration lock is held
        last = atomic("history", "write the history", self._db, write)
        if before is not None and before.state not in {JobState.DONE, JobState.UNDONE}:
            plan = self._plan(migration, direction, [*steps, last])
            if list(before.steps) == [step.name for step in plan.steps]:
                name = job_id(migration.version, direction, number)
                await self._finish(migration, resume(plan, journal, name, progress=tell))
                return
            steps = _carried(migration, before.steps, steps)
        plan = self._plan(migration, direction, [*steps, last])
        name = job_id(migration.version, direction, number + 1)
        await self._finish(migration, apply(plan, journal, job=name, progress=tell))

    async def _finish(self, migration: Migration, job: Coroutine[Any, Any, Job]) -> None:
        """Run a job to its end; its errors name the file and what to do with it.

        Raises:
            PlanError: a statement failed, or its outcome is unknown.
        """
        try:
            await job
        except PlanError as error:
            if error.step is None:
                raise
            statement = {step: record_.summary for step, record_ in (await self._records(error)).items()}.get(
                error.step
            )
            reason = error.__cause__ if error.__cause__ is not None else error
            raise PlanError(
                f"{migration.path} stopped at {statement!r}: {reason}; the statements before it have taken effect: "
                "mend this one in the file, and migrate again",
                job=error.job,
                step=error.step,
            ) from error.__cause__

    async def _records(self, error: PlanError) -> Mapping[str, StepRecord]:
        assert error.job is not None
        return replay(error.job, await TableJournal(self._db).read(error.job)).steps

    def _plan(self, migration: Migration, direction: Direction, steps: list[Step]) -> Plan:
        title = f"{direction.value} {migration.version}"
        return Plan("migration", title, {"version": migration.version}, [self._checked(step) for step in steps])

    def _checked(self, step: Step) -> Step:
        """Return the step such that it verifies the lock before it runs."""

        async def run(context: StepContext) -> Any:
            await self._lock.verify()
            return await step.run(context)

        return Step(step.name, step.summary, run, step.done, step.undo, step.changes, step.always, step.group)

    def _steps(self, script: Script) -> list[Step]:
        patience = self._patient(script)
        return [self._step(number, statement, patience) for number, statement in enumerate(script.statements, 1)]

    def _step(self, number: int, statement: Statement, patience: Patience) -> Step:
        name, summary = f"{number} {statement.digest}", _line(statement.text)
        if read_ddl(statement.text, dialect_of(self._db)) is not None or summary.lower().startswith("vacuum"):
            return self._ddl_step(name, summary, statement, patience)
        if summary.split(maxsplit=1)[0].lower() in _WRITES:

            async def write(tx: Transaction, context: StepContext) -> None:
                del context
                await tx.execute(statement.text)

            return atomic(name, summary, self._db, write)

        async def run(context: StepContext) -> None:
            del context
            async with self._db.connection() as connection:
                await connection.execute(statement.text, timeout=None)

        # CALL and the like: the effect of an interrupted one cannot be determined.
        return Step(name, summary, run)

    def _ddl_step(self, name: str, summary: str, statement: Statement, patience: Patience) -> Step:
        db = self._db

        async def run(context: StepContext) -> None:
            if context.checkpoint is None:
                await context.save(await fingerprint(db, statement.text))
            async with db.connection() as connection:
                lifted = "concurrently" in statement.text.lower()  # it blocks no other statement while it waits
                await limit_locks(connection, dialect_of(db), 0 if lifted else patience.lock_timeout)

                async def attempt() -> None:
                    for leftover in await invalid_indexes(db, statement.text):
                        await connection.execute(f"drop index concurrently {leftover}", timeout=None)
                    await run_ddl(db, connection, statement, mark_of(context))

                await repeated(attempt, patience, lambda text: context.progress(0.0, text))

        async def is_done(context: StepContext) -> Probe:
            return await has_happened(db, statement.text, context)

        return Step(name, summary, run, is_done)

    # -- Python files ------------------------------------------------------------------------------------------------

    async def _python(self, migration: Migration, direction: Direction) -> None:
        module = _loaded(migration)
        function = getattr(module, direction.value, None)
        if function is None:
            raise ConfigError(
                f"{migration.path} has no function `async def {direction.value}(tx)`: there is no way {direction.value}"
            )
        transactional = getattr(module, "transactional", True)
        if transactional and self._product == "postgres":

            async def work(tx: Transaction) -> None:
                await function(tx)

            await self._transactional(migration, direction, self._patience, work)
        elif transactional:

            async def write(tx: Transaction, context: StepContext) -> None:
                del context
                await function(tx)

            await self._by_steps(migration, direction, [atomic("python", migration.path.name, self._db, write)])
        else:

            async def run(context: StepContext) -> None:
                del context
                await function(self._db)

            is_done = getattr(module, "is_done", None)

            async def probe(context: StepContext) -> Probe:
                del context
                found: Probe = await is_done(self._db)  # type: ignore[misc]  # only used where it is there
                return found

            step = Step("python", migration.path.name, run, probe if is_done else None)
            await self._by_steps(migration, direction, [step])

    def _patient(self, script: Script) -> Patience:
        return (
            self._patience if script.lock_timeout is None else self._patience._replace(lock_timeout=script.lock_timeout)
        )


def _carried(migration: Migration, before: Any, steps: list[Step]) -> list[Step]:
    """Return the steps of an edited file, such that those that an earlier job finished are not run again.

    Raises:
        ConfigError: a statement that has taken effect, or may have, was edited.
    """
    fixed = [name for name, record_ in before.items() if record_.state is not StepState.PENDING and name != "history"]
    failed = {name for name in fixed if before[name].state is StepState.FAILED}
    kept = [name for name in fixed if name not in failed]
    if [step.name for step in steps[: len(kept)]] != kept:
        raise ConfigError(
            f"{migration.path} was applied in part, and a statement that has taken effect was changed: put it "
            "back, and change only what failed or was not reached"
        )

    async def nothing(context: StepContext) -> None:
        """Do nothing: an earlier job has done it."""

    return [
        Step(step.name, f"done before: {step.summary}", nothing, changes=False) if step.name in kept else step
        for step in steps
    ]


def _loaded(migration: Migration) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"rdskit_migration_{migration.version}", migration.path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"{migration.path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"  # noqa: PLR2004 - one line of a terminal
