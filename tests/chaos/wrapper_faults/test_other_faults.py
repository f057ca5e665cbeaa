"""What the AWS wrapper gets wrong besides failing over, each a test of ours; numbered as in docs/failover.md."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import asyncpg
import boto3
import psycopg
import pytest

import rdskit
from rdskit.client.credentials import IamCredentials
from rdskit.credentials import Iam
from rdskit.events import Event, QueryRetried
from rdskit.kernel.endpoints import Endpoint
from rdskit.runtime.tasks import TaskOwner
from tests.client.readers import Replicated, replicated
from tests.plugins.confidentiality import keep_confidential
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.local_rds import LocalRds
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

pytestmark = pytest.mark.chaos
PATIENCE = 60.0

# Every other call fails, with an error of the caller's choice; a sequence counts, because that is never rolled back.
FLAKY = (
    "create sequence calls",
    """
    create function flaky(code text) returns int language plpgsql as $$ begin
        if nextval('calls') % 2 = 1 then raise exception 'made up' using errcode = code; end if;
        return 1;
    end $$
    """,
)
CLASSES = {"08000": "LOST", "08006": "LOST", "57P01": "LOST", "58030": "UNWELL", "F0000": "UNWELL", "XX000": "UNWELL"}


async def test_fault_07_errors_are_known_by_their_class(database: TestDatabase) -> None:
    heard: list[Event] = []
    async with rdskit.connect(database.url, tls="off", readable=["flaky"], observers=[heard.append]) as db:
        for statement in FLAKY:
            await db.execute(statement)
        for code in CLASSES:
            assert await db.fetch_value("select flaky(:code)", code=code) == 1, code
        assert [event.failure for event in heard if isinstance(event, QueryRetried)] == list(CLASSES.values())


async def test_fault_07_a_server_that_is_full_is_waited_for(database: TestDatabase) -> None:
    """53300, by a real limit: the second connection is refused until the first is closed."""
    with psycopg.connect(database.url, autocommit=True) as admin:
        admin.execute(f"create role {database.name} login connection limit 1")
        # Superusers have no limit, so it must be another user.
        admin.execute(f"alter role {database.name} password '{database.password}'")
        url = f"postgresql://{database.name}:{database.password}@{database.host}:{database.port}/{database.name}"
        async with rdskit.connect(url, tls="off", min_size=0, max_size=2) as db:
            async with db.transaction() as tx:
                await tx.fetch_value("select 1")
                with pytest.raises(rdskit.TooManyConnections, match="1"):
                    async with db.transaction(timeout=2.0) as other:
                        await other.fetch_value("select 1")
            assert await db.fetch_value("select 1") == 1
        admin.execute(f"drop role {database.name}")


async def test_fault_08_what_the_server_said_reaches_the_application(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off") as db:
        with pytest.raises(rdskit.QueryError, match="division by zero") as zero:
            await db.fetch_value("select 1/0")
        assert zero.value.sqlstate == "22012"
        assert isinstance(zero.value.__cause__, asyncpg.DivisionByZeroError)
        await db.execute("create table one (id int primary key)")
        with pytest.raises(rdskit.IntegrityError) as twice:
            await db.execute_many("insert into one values (:id)", [{"id": 1}, {"id": 1}])
        assert twice.value.sqlstate == "23505"
        assert isinstance(twice.value.__cause__, asyncpg.UniqueViolationError)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    with replicated(tmp_path_factory.mktemp("fault-09"), replicas=1) as cluster:
        keep_confidential(cluster.primary.password)
        yield cluster


async def test_fault_09_of_200_reads_after_a_write_none_is_stale_and_readers_are_used(cluster: Replicated) -> None:
    async with rdskit.connect(cluster.url, tls="off", readers=cluster.readers) as db:
        await db.execute("create table note (key int primary key)")
        await eventually(lambda: _served_by_reader(db), PATIENCE)
        with cluster.standing_still():
            fresh = [await _written_and_read(db, key) for key in range(100)]
        fresh += [await _written_and_read(db, key) for key in range(100, 200)]
        assert fresh == [1] * 200
        await eventually(lambda: _served_by_reader(db), PATIENCE)


async def _written_and_read(db: rdskit.Database, key: int) -> Any:
    await db.execute("insert into note values (:key)", key=key)
    return await db.fetch_value("select count(*) from note where key = :key", key=key)


async def _served_by_reader(db: rdskit.Database) -> bool:
    before = sum(db.stats().reads_by_reader.values())
    await db.fetch_value("select count(*) from note")
    return sum(db.stats().reads_by_reader.values()) > before


async def test_fault_11_a_secret_that_changes_is_read_again(local_rds: LocalRds, database: TestDatabase) -> None:
    manager = boto3.client("secretsmanager")
    with psycopg.connect(database.url, autocommit=True) as admin:
        admin.execute(f"create role {database.name} login password 'the first password'")
        manager.create_secret(Name=database.name, SecretString=_secret(database, "the first password"))
        async with rdskit.connect(f"secretsmanager:{database.name}", tls="off") as db:
            assert await db.fetch_value("select current_user::text") == database.name
            for password in ("the second password", "the third password"):
                admin.execute(f"alter role {database.name} password '{password}'")
                manager.put_secret_value(SecretId=database.name, SecretString=_secret(database, password))
                db._cluster.writer.retire()
                assert await db.fetch_value("select current_user::text") == database.name
        admin.execute(f"drop role {database.name}")
    manager.delete_secret(SecretId=database.name, ForceDeleteWithoutRecovery=True)
    assert local_rds.data.exists()


def _secret(database: TestDatabase, password: str) -> str:
    where = {"engine": "postgres", "host": database.host, "port": database.port, "dbname": database.name}
    return json.dumps({**where, "username": database.name, "password": password})


async def test_fault_11_no_connection_is_opened_with_an_old_token(local_rds: LocalRds) -> None:
    assert local_rds.data.exists()  # its keys are in the environment
    later, owner = dt.timedelta(0), TaskOwner("test")
    credentials = IamCredentials(Iam(), "ada", owner, now=lambda: dt.datetime.now(dt.UTC) + later)
    endpoint = Endpoint("orders.abc.eu-west-1.rds.amazonaws.com", 5432)
    first = await credentials.login(endpoint)
    assert await credentials.login(endpoint) == first
    later = dt.timedelta(minutes=15)
    assert await credentials.login(endpoint) != first
    await owner.close()


HEAVY = ("boto3", "botocore", "opentelemetry", "aws_xray_sdk", "sqlalchemy", "psycopg", "asyncmy")
CONNECT = f"""
import asyncio, sys
import rdskit

async def main():
    async with rdskit.connect(sys.argv[1], tls="off") as db:
        assert await db.fetch_value("select 1") == 1

asyncio.run(main())
print([name for name in {HEAVY!r} if name in sys.modules])
"""


def test_fault_13_a_plain_url_needs_its_driver_and_nothing_else(database: TestDatabase) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    assert _printed(CONNECT, database.url, environment=environment) == "[]"


def _printed(code: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


# What a caller leaves behind in a session, and what the next one finds.
LEFT_BEHIND = {
    "database": ("set search_path = nowhere", "select current_setting('search_path')", '"$user", public'),
    "mysql_database": ("set session sort_buffer_size = 65536", "select @@sort_buffer_size = 65536", 0),
    "mariadb_database": ("set session sort_buffer_size = 65536", "select @@sort_buffer_size = 65536", 0),
}


@pytest.mark.parametrize("fixture", LEFT_BEHIND)
async def test_fault_14_every_engine_and_the_whole_state_of_a_session(
    request: pytest.FixtureRequest, fixture: str
) -> None:
    target: TestDatabase | FamilyDatabase = request.getfixturevalue(fixture)
    change, question, expected = LEFT_BEHIND[fixture]
    async with rdskit.connect(target.url, tls="off", max_size=1) as db:
        assert await db.fetch_value(question) == expected
        async with db.transaction() as tx:
            await tx.execute(change)
            assert await tx.fetch_value(question) != expected
        assert await db.fetch_value(question) == expected


DJANGO = """
import json, sys
from django.conf import settings

settings.configure(DATABASES={"default": json.loads(sys.argv[1])})
import django
django.setup()
from django.db import connection

with connection.cursor() as cursor:
    cursor.execute("select 1")
    print(cursor.fetchone()[0])
connection.close()
"""


def test_fault_14_django_on_postgresql(database: TestDatabase) -> None:
    entry = {
        "ENGINE": "rdskit.integrations.django.postgresql",
        "HOST": database.host,
        "PORT": database.port,
        "USER": database.user,
        "PASSWORD": database.password,
        "NAME": database.name,
        "OPTIONS": {"tls": "off"},
    }
    assert _printed(DJANGO, json.dumps(entry)) == "1"
