"""A local RDS for a test suite, with helpers for creating and failing over instances."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

try:
    import boto3

    from rdskit.local import lifecycle
except ImportError as error:
    raise pytest.UsageError(f"the local RDS needs {error.name}: pip install 'rdskit[local]'") from error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class LocalRds:
    """A running local RDS.

    Attributes:
        data: its data directory.
        environment: the variables that point an AWS client and rdskit at it; they are set already.
    """

    data: Path
    environment: Mapping[str, str] = field(repr=False)

    @property
    def endpoint(self) -> str:
        """The URL of its AWS API."""
        return self.environment["AWS_ENDPOINT_URL"]

    def client(self, service: str) -> Any:
        """Return a boto3 client of the local RDS."""
        return boto3.client(service)  # type: ignore[call-overload] # any service's name

    def create(self, identifier: str, *, engine: str = "postgres", database: str = "app", **arguments: Any) -> str:
        """Create an instance with a managed master password, wait for it, and return its target URL.

        Args:
            identifier: the DB instance's.
            engine: the RDS API's engine name.
            database: the initial database.
            arguments: further arguments of ``create_db_instance``, such as ``MultiAZ=True``.
        """
        defaults = {"DBInstanceClass": "db.t4g.micro", "AllocatedStorage": 20, "MasterUsername": "app"}
        self.client("rds").create_db_instance(
            DBInstanceIdentifier=identifier,
            Engine=engine,
            DBName=database,
            ManageMasterUserPassword="MasterUserPassword" not in arguments,
            **{**defaults, **arguments},
        )
        self.await_available(identifier)
        return f"rds://{identifier}/{database}"

    def credentials(self, identifier: str) -> str:
        """Return an instance's managed master password as a value for ``credentials=`` of ``rdskit.connect``."""
        found = self.client("rds").describe_db_instances(DBInstanceIdentifier=identifier)
        return f"secretsmanager:{found['DBInstances'][0]['MasterUserSecret']['SecretArn']}"

    def fail_over(self, identifier: str) -> None:
        """Force a failover of a Multi-AZ instance, and wait until it is over."""
        self.client("rds").reboot_db_instance(DBInstanceIdentifier=identifier, ForceFailover=True)
        self.await_available(identifier)

    def delete(self, identifier: str) -> None:
        """Delete an instance without a snapshot, and wait until it is gone."""
        rds = self.client("rds")
        rds.delete_db_instance(DBInstanceIdentifier=identifier, SkipFinalSnapshot=True)
        rds.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier=identifier)

    def await_available(self, identifier: str) -> None:
        """Wait until an instance is available."""
        self.client("rds").get_waiter("db_instance_available").wait(DBInstanceIdentifier=identifier)


@contextlib.contextmanager
def running(data: Path) -> Iterator[LocalRds]:
    """Run a local RDS on its own data directory and port while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    try:
        lifecycle.up(data, port)
        yield LocalRds(data, lifecycle.env(data))
    finally:
        lifecycle.down(data)
