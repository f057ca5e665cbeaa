"""``rdskit check`` on an instance of the local RDS: names looked up by the API, TLS verified, replicas asked."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from rdskit.local import site

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class LocalRds:
    """A local RDS with the instance ``orders`` and its replica ``orders-reader``."""

    environment: dict[str, str]
    credentials: str

    def check(self, target: str, *options: str, **environment: str) -> tuple[int, dict[str, Any]]:
        """Run ``rdskit check``; gives its exit status and each step by name."""
        done = subprocess.run(
            [sys.executable, "-m", "rdskit.cli", "check", target, "--json", *options],
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        told = json.loads(done.stdout)
        return done.returncode, {step["name"]: step for step in told["steps"]}


@pytest.fixture(scope="module")
def rds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRds]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    data = tmp_path_factory.mktemp("rds") / "data"
    site.up(data, port)
    try:
        environment = site.env(data)
        yield LocalRds(environment, "secretsmanager:" + create_orders(environment))
    finally:
        site.down(data)


def create_orders(environment: dict[str, str]) -> str:
    """Make the instance and its replica; gives the ARN of the master user's secret."""
    client = boto3.client(
        "rds",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    available = client.get_waiter("db_instance_available")
    client.create_db_instance(
        DBInstanceIdentifier="orders",
        Engine="postgres",
        DBInstanceClass="db.t4g.medium",
        AllocatedStorage=20,
        DBName="shop",
        MasterUsername="keeper",
        ManageMasterUserPassword=True,
    )
    available.wait(DBInstanceIdentifier="orders")
    client.create_db_instance_read_replica(DBInstanceIdentifier="orders-reader", SourceDBInstanceIdentifier="orders")
    available.wait(DBInstanceIdentifier="orders-reader")
    found = client.describe_db_instances(DBInstanceIdentifier="orders")["DBInstances"][0]
    return found["MasterUserSecret"]["SecretArn"]


def test_an_instance_passes_every_step_with_tls_verified(rds: LocalRds) -> None:
    status, steps = rds.check("rds://orders/shop", "--credentials", rds.credentials)
    assert status == 0, steps
    assert {step["status"] for step in steps.values()} == {"ok"}
    assert "verified, valid until" in steps["tls"]["finding"]
    assert steps["login"]["finding"] == "logged in as keeper to database shop"
    assert steps["replicas"]["finding"].startswith("orders-reader at ")
    assert "ms behind" in steps["replicas"]["finding"]


def test_without_the_local_authority_the_certificate_is_refused(rds: LocalRds) -> None:
    status, steps = rds.check("rds://orders/shop", "--credentials", rds.credentials, RDSKIT_CA="")
    assert status == 1
    assert steps["tls"]["status"] == "fail"
    assert "RDSKIT_CA" in steps["tls"]["next_step"]
    assert steps["login"]["status"] == "skipped"


def test_an_instance_that_does_not_exist_is_named_with_those_that_do(rds: LocalRds) -> None:
    status, steps = rds.check("rds://order/shop", "--credentials", rds.credentials)
    assert status == 1
    assert "'order' does not exist" in steps["target"]["finding"]
    assert "orders" in steps["target"]["finding"]


def test_a_secret_that_does_not_exist_fails_at_login(rds: LocalRds) -> None:
    status, steps = rds.check("rds://orders/shop", "--credentials", "secretsmanager:nothing-here")
    assert status == 1
    assert steps["login"]["status"] == "fail"
    assert "nothing-here" in steps["login"]["finding"]


def test_an_api_that_does_not_answer_fails_at_the_target(rds: LocalRds) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    status, steps = rds.check("rds://orders/shop", "--credentials", rds.credentials, AWS_ENDPOINT_URL=endpoint)
    assert status == 1
    assert steps["target"]["status"] == "fail"
    assert "AWS_ENDPOINT_URL" in steps["target"]["finding"]
