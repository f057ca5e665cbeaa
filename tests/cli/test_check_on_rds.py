"""``rdskit check`` on an instance of the local RDS: names looked up by the API, TLS verified, replicas asked."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest

import rdskit
from rdskit.local import lifecycle
from tests.plugins.rounds import soak
from tests.plugins.templates import share_templates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Orders:
    """An instance of the local RDS, with a replica: ``ENGINE-orders`` and ``ENGINE-orders-reader``."""

    environment: dict[str, str]
    engine: str
    credentials: str

    @property
    def target(self) -> str:
        return f"rds://{self.engine}-orders/shop"

    def check(self, target: str, *options: str, **environment: str) -> tuple[int, dict[str, Any]]:
        """Run ``rdskit check``; gives its exit status and each step by name."""
        done = subprocess.run(
            [sys.executable, "-m", "rdskit", "check", target, "--json", *options],
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        told = json.loads(done.stdout)
        return done.returncode, {step["name"]: step for step in told["steps"]}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start a local RDS and return the variables that point AWS clients at it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    data = tmp_path_factory.mktemp("rds") / "data"
    share_templates(data / "fleet")
    lifecycle.up(data, port)
    try:
        yield lifecycle.env(data)
    finally:
        lifecycle.down(data)


@pytest.fixture(scope="module", params=["postgres", "mariadb", *soak("mysql")])
def orders(request: pytest.FixtureRequest, environment: dict[str, str]) -> Orders:
    return Orders(environment, request.param, "secretsmanager:" + create_orders(environment, request.param))


def create_orders(environment: dict[str, str], engine: str) -> str:
    """Make the instance and its replica; gives the ARN of the master user's secret."""
    client = boto3.client(
        "rds",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    available = client.get_waiter("db_instance_available")
    name = f"{engine}-orders"
    client.create_db_instance(
        DBInstanceIdentifier=name,
        Engine=engine,
        DBInstanceClass="db.t4g.medium",
        AllocatedStorage=20,
        DBName="shop",
        MasterUsername="keeper",
        ManageMasterUserPassword=True,
    )
    available.wait(DBInstanceIdentifier=name)
    client.create_db_instance_read_replica(DBInstanceIdentifier=f"{name}-reader", SourceDBInstanceIdentifier=name)
    available.wait(DBInstanceIdentifier=f"{name}-reader")
    found = client.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
    return found["MasterUserSecret"]["SecretArn"]


@pytest.fixture
def without_credentials(orders: Orders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lead this process to the local RDS, and leave it without a user and without a ``.env`` file."""
    for name, value in orders.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("PGUSER", "PGPASSWORD", "MYSQL_USER", "MYSQL_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("without_credentials")
async def test_without_credentials_the_master_user_logs_in_with_its_secret(
    orders: Orders, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "rdskit.credentials"):
        async with rdskit.connect(orders.target, min_size=0) as db:
            assert str(await db.fetch_value("select current_user")).startswith("keeper")
    (told,) = [record.getMessage() for record in caplog.records if record.name == "rdskit.credentials"]
    assert f"no user is given for {orders.engine}-orders: using its master user 'keeper'" in told
    assert orders.credentials.removeprefix("secretsmanager:") in told
    plain = await asyncio.to_thread(rdskit.dbapi_connect, orders.target)
    plain.close()


@pytest.mark.usefixtures("without_credentials")
async def test_a_replica_by_its_own_name_is_for_reading(orders: Orders) -> None:
    async with rdskit.connect(f"rds://{orders.engine}-orders-reader/shop", min_size=0) as db:
        assert await db.fetch_value("select :n + 1", n=1) == 2
        with pytest.raises(rdskit.ReadOnlyError, match="connected to read only"):
            await db.execute("create table refused (n int)")
        found = await db.topology()
        assert (found.writer, found.entry is not None) == (None, True)


@pytest.mark.usefixtures("without_credentials")
async def test_a_user_of_the_environment_comes_before_the_master_user(
    orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGUSER" if orders.engine == "postgres" else "MYSQL_USER", "another")
    with pytest.raises(rdskit.AuthenticationError, match="user 'another'"):
        await rdskit.connect(orders.target, connect_timeout=1.0)


def test_an_instance_passes_every_step(orders: Orders) -> None:
    status, steps = orders.check(orders.target, "--credentials", orders.credentials)
    assert status == 0, steps
    assert {step["status"] for step in steps.values()} == {"ok"}
    assert "verified, valid until" in steps["tls"]["finding"]
    user = "keeper" if orders.engine == "postgres" else "keeper@%"
    assert steps["login"]["finding"] == f"logged in as {user} to database shop"
    product = {"postgres": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}[orders.engine]
    assert steps["role"]["finding"].startswith(f"{product} ")
    assert steps["role"]["finding"].endswith("writer: accepts writes")
    assert steps["replicas"]["finding"].startswith(f"{orders.engine}-orders-reader at ")
    assert "ms behind" in steps["replicas"]["finding"]


def test_without_the_local_authority_the_certificate_is_refused(orders: Orders) -> None:
    status, steps = orders.check(orders.target, "--credentials", orders.credentials, RDSKIT_CA="")
    assert status == 1
    assert steps["tls"]["status"] == "fail"
    assert "RDSKIT_CA" in steps["tls"]["next_step"]
    assert steps["login"]["status"] == "skipped"


def test_an_instance_that_does_not_exist_is_named_with_those_that_do(orders: Orders) -> None:
    status, steps = orders.check("rds://order/shop", "--credentials", orders.credentials)
    assert status == 1
    assert "'order' does not exist" in steps["target"]["finding"]
    assert f"{orders.engine}-orders" in steps["target"]["finding"]


def test_a_secret_that_does_not_exist_fails_at_login(orders: Orders) -> None:
    status, steps = orders.check(orders.target, "--credentials", "secretsmanager:nothing-here")
    assert status == 1
    assert steps["login"]["status"] == "fail"
    assert "nothing-here" in steps["login"]["finding"]


def test_an_api_that_does_not_answer_fails_at_the_target(orders: Orders) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    status, steps = orders.check(orders.target, "--credentials", orders.credentials, AWS_ENDPOINT_URL=endpoint)
    assert status == 1
    assert steps["target"]["status"] == "fail"
    assert steps["target"]["next_step"] == "check AWS_ENDPOINT_URL"
