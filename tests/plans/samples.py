"""Three plans on real servers: PostgreSQL DDL, MySQL DDL, and an instance of the AWS API."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

import rdskit
from rdskit.plans import (
    FileJournal,
    Plan,
    Probe,
    Step,
    StepContext,
    TableJournal,
    apply,
    atomic,
    done,
    not_done,
    resume,
    running,
    undo,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from rdskit.client.transactions import Transaction
    from rdskit.plans import Journal

Made = tuple[Plan, "Journal"]


@contextlib.asynccontextmanager
async def postgres(url: str, directory: Path) -> AsyncIterator[Made]:
    """Create a table and fill it in two transactions, then index it without a lock; the journal is in the database."""
    del directory
    async with rdskit.connect(url, tls="off", min_size=0, max_size=3, readers="off") as db:

        async def create(tx: Transaction, context: StepContext) -> None:
            del context
            await tx.execute("create table users (id bigint primary key, email text not null)")

        async def drop(tx: Transaction, context: StepContext) -> None:
            del context
            await tx.execute("drop table users")

        async def fill(tx: Transaction, context: StepContext) -> int:
            del context
            text = "insert into users select n, 'user' || n from generate_series(1, 100) n"
            return int(await tx.execute(text))

        async def empty(tx: Transaction, context: StepContext) -> None:
            assert context.results[context.step] == 100
            await tx.execute("delete from users")

        async def index(context: StepContext) -> None:
            del context
            await db.execute("drop index if exists users_email")  # an attempt that was cut off leaves an invalid one
            await db.execute("create index concurrently users_email on users (email)")

        async def is_indexed(context: StepContext) -> Probe:
            del context
            if await db.fetch_value(
                "select count(*) from pg_stat_activity where query like 'create index concurrently users_email%' "
                "and state = 'active' and pid <> pg_backend_pid()"
            ):
                return running("the index is being built")
            valid = await db.fetch_value(
                "select indisvalid from pg_index where indexrelid = to_regclass('users_email')"
            )
            return done() if valid else not_done()

        async def drop_index(context: StepContext) -> None:
            del context
            await db.execute("drop index if exists users_email")

        steps = (
            atomic("create", "create table users", db, create, undo=drop),
            atomic("fill", "insert 100 users", db, fill, undo=empty),
            Step("index", "create index concurrently", index, is_indexed, drop_index),
        )
        journal = TableJournal(db)
        await journal.setup()
        yield Plan("sample-postgres", "Users with an index", {}, steps), journal


@contextlib.asynccontextmanager
async def mysql(url: str, directory: Path) -> AsyncIterator[Made]:
    """Create a table and change it by statements that commit by themselves; each is asked about by name."""
    async with rdskit.connect(url, tls="off", min_size=0, max_size=3, readers="off") as db:

        def ddl(name: str, statement: str, there: str, back: str) -> Step:
            async def run(context: StepContext) -> None:
                await db.execute(f"/* job {context.job} */ {statement}")

            async def is_done(context: StepContext) -> Probe:
                mark = f"/* job {context.job} */%"
                text = "select count(*) from information_schema.processlist where info like :mark"
                if await db.fetch_value(text, mark=mark):
                    return running("the server still runs the statement")
                return done() if await db.fetch_value(there) else not_done()

            async def undo(context: StepContext) -> None:
                await db.execute(f"/* job {context.job} */ {back}")

            return Step(name, statement, run, is_done, undo)

        table = (
            "select count(*) from information_schema.tables where table_schema = database() and table_name = 'users'"
        )
        column = (
            "select count(*) from information_schema.columns where table_schema = database() and table_name = 'users' "
            "and column_name = 'email'"
        )
        key = (
            "select count(*) from information_schema.statistics where table_schema = database() "
            "and table_name = 'users' and index_name = 'users_email'"
        )
        steps = (
            ddl("create", "create table users (id bigint primary key)", table, "drop table users"),
            ddl("column", "alter table users add email varchar(100)", column, "alter table users drop email"),
            ddl("index", "create index users_email on users (email)", key, "drop index users_email on users"),
        )
        yield Plan("sample-mysql", "Users with an index", {}, steps), FileJournal(directory)


def described(rds: Any, name: str) -> dict[str, Any] | None:
    """Return what the API says of an instance; None if there is none."""
    try:
        found: dict[str, Any] = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
    except rds.exceptions.DBInstanceNotFoundFault:
        return None
    return found


@contextlib.asynccontextmanager
async def instance(name: str, directory: Path) -> AsyncIterator[Made]:
    """Create an instance, wait for it, and change it; each call is asked about by the instance's identifier."""
    rds: Any = boto3.client("rds")

    def call(method: Callable[..., Any], **arguments: Any) -> Callable[[StepContext], Awaitable[None]]:
        async def run(context: StepContext) -> None:
            del context
            await asyncio.to_thread(method, DBInstanceIdentifier=name, **arguments)

        return run

    async def exists(context: StepContext) -> Probe:
        del context
        found = await asyncio.to_thread(described, rds, name)
        if found is not None and found["DBInstanceStatus"] == "deleting":
            return running("the instance is being deleted")
        return not_done() if found is None else done()

    async def delete(context: StepContext) -> None:
        del context
        await asyncio.to_thread(rds.delete_db_instance, DBInstanceIdentifier=name, SkipFinalSnapshot=True)
        await asyncio.to_thread(rds.get_waiter("db_instance_deleted").wait, DBInstanceIdentifier=name)

    async def wait(context: StepContext) -> None:
        del context
        await asyncio.to_thread(rds.get_waiter("db_instance_available").wait, DBInstanceIdentifier=name)

    def keeps(days: int) -> Callable[[StepContext], Awaitable[Probe]]:
        async def probe(context: StepContext) -> Probe:
            del context
            found = await asyncio.to_thread(described, rds, name)
            return done() if found is not None and found["BackupRetentionPeriod"] == days else not_done()

        return probe

    create = call(
        rds.create_db_instance,
        DBInstanceClass="db.t3.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="app",
        ManageMasterUserPassword=True,
        BackupRetentionPeriod=1,
    )
    steps = (
        Step("create", f"create instance {name}", create, exists, delete),
        Step("wait", "wait until it is available", wait, changes=False),
        Step(
            "modify",
            "keep backups for 3 days",
            call(rds.modify_db_instance, BackupRetentionPeriod=3, ApplyImmediately=True),
            keeps(3),
            call(rds.modify_db_instance, BackupRetentionPeriod=1, ApplyImmediately=True),
        ),
    )
    yield Plan("sample-instance", f"Instance {name}", {"identifier": name}, steps), FileJournal(directory)


SAMPLES = {"postgres": postgres, "mysql": mysql, "instance": instance}


async def run(sample: str, subject: str, directory: str, verb: str, job: str) -> str:
    """Run a sample plan in a child of its own; return the state in which the job ended."""
    async with SAMPLES[sample](subject, Path(directory)) as (plan, journal):
        if verb == "apply":
            return (await apply(plan, journal, job=job)).state.value
        return (await {"resume": resume, "undo": undo}[verb](plan, journal, job)).state.value
