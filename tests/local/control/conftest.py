"""Start a local RDS for tests, with its own directory, port, daemon and servers, and remove it afterwards."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import psutil
import psycopg
import pytest
from botocore.config import Config

from rdskit.local import lifecycle
from tests.plugins.templates import share_templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_rds import RDSClient
    from mypy_boto3_rds.type_defs import DBInstanceTypeDef

PASSWORD = "correct-horse"
RETRY = Config(retries={"total_max_attempts": 1})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], bool], timeout: float = 60.0) -> None:
    """Poll until a condition is true, or fail."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not true within {timeout} s"
        time.sleep(0.02)


@dataclass(frozen=True)
class LocalRdsDaemon:
    """A running local RDS and its clients."""

    data: Path
    port: int

    def client(self, service: str, region: str | None = None) -> Any:
        variables = lifecycle.env(self.data)
        return boto3.client(
            service,  # type: ignore[call-overload]  # a service's name at run time
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=region or variables["AWS_DEFAULT_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
            config=RETRY,
        )

    @property
    def rds(self) -> RDSClient:
        client: RDSClient = self.client("rds")
        return client

    def create(self, identifier: str, **settings: Any) -> DBInstanceTypeDef:
        """Create an instance and wait until it is available."""
        credentials = {} if settings.get("ManageMasterUserPassword") else {"MasterUserPassword": PASSWORD}
        defaults = {"DBInstanceClass": "db.t4g.micro", "Engine": "postgres", "MasterUsername": "app"}
        rds = self.rds
        rds.create_db_instance(DBInstanceIdentifier=identifier, **{**defaults, **credentials, **settings})
        rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=identifier)
        return self.describe(identifier)

    def describe(self, identifier: str) -> DBInstanceTypeDef:
        return self.rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]

    def settle(self, identifier: str) -> DBInstanceTypeDef:
        """Wait until the instance is available again."""
        self.rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=identifier)
        return self.describe(identifier)

    def delete(self, identifier: str) -> None:
        rds = self.rds
        rds.delete_db_instance(DBInstanceIdentifier=identifier, SkipFinalSnapshot=True)
        rds.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier=identifier)

    def connect(self, instance: DBInstanceTypeDef, password: str = PASSWORD, **login: Any) -> psycopg.Connection:
        """Log in over verified TLS; the connection closes itself as a context manager."""
        endpoint = instance["Endpoint"]
        return psycopg.connect(
            host=endpoint["Address"],
            port=endpoint["Port"],
            password=password,
            sslmode="verify-full",
            sslrootcert=lifecycle.env(self.data)["RDSKIT_CA"],
            autocommit=True,
            connect_timeout=5,
            **{"user": "app", "dbname": "postgres", **login},
        )

    def secret(self, instance: DBInstanceTypeDef) -> dict[str, str]:
        """Return the credentials in the instance's managed secret."""
        text = self.client("secretsmanager").get_secret_value(SecretId=instance["MasterUserSecret"]["SecretArn"])
        value: dict[str, str] = json.loads(text["SecretString"])
        return value

    def memory(self) -> int:
        """Return the resident memory of the daemon in bytes."""
        pid = lifecycle.status(self.data).pid
        assert pid is not None
        held: int = psutil.Process(pid).memory_info().rss
        return held

    def messages(self, identifier: str) -> list[str]:
        """Return the events of an instance, oldest first."""
        events = self.rds.describe_events(SourceIdentifier=identifier, SourceType="db-instance")
        return [each["Message"] for each in events["Events"]]


@contextlib.contextmanager
def running_daemon(data: Path) -> Iterator[LocalRdsDaemon]:
    share_templates(data / "fleet")
    started = lifecycle.up(data, free_port())
    try:
        yield LocalRdsDaemon(data, started.port)
    finally:
        lifecycle.reset(data)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRdsDaemon]:
    """Start one local RDS for a module's tests; each test uses its own instances."""
    with running_daemon(tmp_path_factory.mktemp("rds") / "data") as found:
        yield found


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[LocalRdsDaemon]:
    """Start a local RDS for one test, which may change or kill it."""
    with running_daemon(tmp_path / "data") as found:
        yield found
