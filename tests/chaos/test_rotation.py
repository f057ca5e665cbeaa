"""Passwords change and tokens expire under load, and no query fails."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import boto3
import pytest

import rdskit
from rdskit.client.credentials import IamCredentials, StaticCredentials
from rdskit.credentials import Iam
from rdskit.runtime.tasks import TaskOwner
from tests.plugins.rounds import gate_and_soak, soak
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.kernel.endpoints import Endpoint
    from tests.plugins.local_rds import LocalRds

EVERY = 2.0
WORKERS = 4
EXPIRES_SOON = -894.0  # seconds that a clock is late: its tokens have six of their fifteen minutes' seconds left


class Load:
    """Queries without end, each on a connection of its own, so that each logs in as things are at that moment."""

    def __init__(self, db: rdskit.Database) -> None:
        self._db = db
        self._over = asyncio.Event()
        self.answered = 0
        self.failed: list[Exception] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        workers = [asyncio.ensure_future(self._work()) for _ in range(WORKERS)]
        try:
            yield
        finally:
            self._over.set()
            await asyncio.gather(*workers)

    async def more(self, answers: int) -> None:
        """Wait until so many more queries were answered, or one failed."""
        enough = self.answered + answers

        async def seen() -> bool:
            return self.answered >= enough or bool(self.failed)

        await eventually(seen)

    async def _work(self) -> None:
        while not self._over.is_set():
            try:
                self._db._cluster.writer.retire()
                await self._db.fetch_value("select 1")
                self.answered += 1
            except rdskit.RdskitError as error:
                self.failed.append(error)


@pytest.mark.chaos
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seconds", gate_and_soak(6.0, 60.0))
async def test_a_password_that_changes_every_two_seconds_fails_no_query(local_rds: LocalRds, seconds: float) -> None:
    local_rds.create("rotating")
    secret = local_rds.secret("rotating")
    manager = boto3.client("secretsmanager")
    versions = {version_of(manager, secret)}
    loop = asyncio.get_running_loop()

    async with rdskit.connect("rds://rotating", credentials=f"secretsmanager:{secret}", max_size=4) as db:
        load = Load(db)
        async with load.running():
            due, end = loop.time(), loop.time() + seconds
            while due < end and not load.failed:
                await asyncio.to_thread(local_rds.await_available, "rotating")
                await asyncio.to_thread(manager.rotate_secret, SecretId=secret)
                due += EVERY
                await asyncio.sleep(due - loop.time())  # the rhythm of the test, not a wait for anything
                versions.add(version_of(manager, secret))
            await load.more(20)
    assert not load.failed
    assert len(versions) >= 0.8 * seconds / EVERY, f"{len(versions)} passwords"
    print(f"{len(versions)} passwords in {seconds:g} s, {load.answered} logins and queries, none failed")  # noqa: T201
    local_rds.delete("rotating")


@pytest.mark.chaos
async def test_a_rotation_that_stops_half_way_fails_no_query(local_rds: LocalRds) -> None:
    """As a rotation function does it: the pending version, the server, and only then the current version."""
    local_rds.create("staged")
    manager = boto3.client("secretsmanager")
    master = f"secretsmanager:{local_rds.secret('staged')}"
    manager.create_secret(Name="staged", SecretString=content("the first password"))
    async with rdskit.connect("rds://staged", credentials=master, min_size=0) as keeper:
        await keeper.execute("create user web password 'the first password'")
        async with rdskit.connect("rds://staged", credentials="secretsmanager:staged", max_size=4) as db:
            load = Load(db)
            async with load.running():
                for password in ("the second password", "the third password"):
                    await load.more(20)
                    current = version_of(manager, "staged")
                    pending = manager.put_secret_value(
                        SecretId="staged", SecretString=content(password), VersionStages=["AWSPENDING"]
                    )["VersionId"]
                    await load.more(20)
                    await keeper.execute(f"alter user web password '{password}'")
                    await load.more(20)
                    manager.update_secret_version_stage(
                        SecretId="staged",
                        VersionStage="AWSCURRENT",
                        MoveToVersionId=pending,
                        RemoveFromVersionId=current,
                    )
                await load.more(20)
    assert not load.failed
    local_rds.delete("staged")


def content(password: str) -> str:
    return json.dumps({"username": "web", "password": password})


class Recorded:
    """Credentials whose every answer is remembered."""

    def __init__(self, credentials: IamCredentials) -> None:
        self._credentials = credentials
        self.given: dict[rdskit.Login, None] = {}
        self.refused: set[rdskit.Login] = set()

    async def login(self, endpoint: Endpoint, *, refused: rdskit.Login | None = None) -> rdskit.Login:
        if refused is not None:
            self.refused.add(refused)
        login = await self._credentials.login(endpoint, refused=refused)
        self.given[login] = None
        return login


MAKE_IAM_USER = {
    "postgres": ("create user ada", "grant rds_iam to ada"),
    "mysql": ("create user ada identified with AWSAuthenticationPlugin as 'RDS'", "grant select on app.* to ada"),
    "mariadb": ("create user ada identified via AWSAuthenticationPlugin using 'RDS'", "grant select on app.* to ada"),
}


@pytest.mark.chaos
@pytest.mark.parametrize("engine", ["postgres", "mariadb", *soak("mysql")])  # the endpoint judges tokens by protocol
async def test_tokens_that_expire_fail_no_query(local_rds: LocalRds, engine: str) -> None:
    local_rds.create("expiring", engine=engine, EnableIAMDatabaseAuthentication=True)
    master = f"secretsmanager:{local_rds.secret('expiring')}"
    async with rdskit.connect("rds://expiring", credentials=master, min_size=0) as db:
        for statement in MAKE_IAM_USER[engine]:
            await db.execute(statement)
    owner, late = TaskOwner("test"), EXPIRES_SOON

    def clock() -> dt.datetime:
        return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=late)

    credentials = Recorded(IamCredentials(Iam(), "ada", owner, now=clock))
    async with rdskit.connect("rds://ada@expiring", credentials=credentials, max_size=4) as db:
        load = Load(db)
        async with load.running():
            await load.more(20)
            first = next(iter(credentials.given))

            async def refused() -> bool:
                return bool(credentials.refused) or bool(load.failed)

            # The server finds the token too old before this client does: the client signs a new one, and no call fails.
            await eventually(refused)
            await load.more(20)
            assert first in credentials.refused
            # The client's own clock passes the token's time: the client signs a new one before a login is refused.
            known, late = set(credentials.given), 0.0
            await load.more(20)
            minted = set(credentials.given) - known
            assert minted
            assert not minted & credentials.refused
    assert not load.failed
    with pytest.raises(rdskit.AuthenticationError, match="the token expired"):
        await rdskit.connect("rds://expiring", credentials=StaticCredentials("ada", first.password))
    await owner.close()
    local_rds.delete("expiring")


def version_of(manager: Any, secret: str) -> str:
    value: str = manager.get_secret_value(SecretId=secret, VersionStage="AWSCURRENT")["VersionId"]
    return value
