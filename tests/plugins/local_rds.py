"""One local RDS for the whole run, and what tests ask of it through boto3."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import psutil
import pytest

from rdskit.local import lifecycle
from rdskit.local.engines.waiting import poll
from tests.plugins.templates import share_templates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class LocalRds:
    """A running local RDS; the environment points every AWS client of this process at it."""

    data: Path

    @property
    def rds(self) -> Any:
        """The RDS API."""
        return boto3.client("rds")

    def create(self, identifier: str, *, engine: str = "postgres", replicas: int = 0, **arguments: Any) -> None:
        """Make an instance with a managed master password, and read replicas named after it."""
        self.rds.create_db_instance(
            DBInstanceIdentifier=identifier,
            DBInstanceClass="db.t3.micro",
            Engine=engine,
            AllocatedStorage=20,
            DBName="app",
            MasterUsername="app",
            ManageMasterUserPassword=True,
            **arguments,
        )
        self.await_available(identifier)
        names = [f"{identifier}-r{number}" for number in range(1, replicas + 1)]
        for name in names:
            self.rds.create_db_instance_read_replica(DBInstanceIdentifier=name, SourceDBInstanceIdentifier=identifier)
        for name in names:
            self.await_available(name)

    def await_available(self, identifier: str) -> None:
        """Wait as a user does."""
        self.rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=identifier)

    def fail_over(self, identifier: str) -> None:
        """Force a failover and wait until it is over."""
        self.rds.reboot_db_instance(DBInstanceIdentifier=identifier, ForceFailover=True)
        self.await_available(identifier)

    def secret(self, identifier: str) -> str:
        """Return the ARN of the managed master password."""
        instances = self.rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
        arn: str = instances[0]["MasterUserSecret"]["SecretArn"]
        return arn

    def delete(self, *identifiers: str) -> None:
        """Delete instances one after the other, each as soon as its state allows it; replicas come first."""
        for identifier in identifiers:
            assert poll(functools.partial(self._begin_deleting, identifier), timeout=60), f"{identifier} stays busy"
            self.rds.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier=identifier)

    def _begin_deleting(self, identifier: str) -> bool:
        try:
            self.rds.delete_db_instance(DBInstanceIdentifier=identifier, SkipFinalSnapshot=True)
        except self.rds.exceptions.InvalidDBInstanceStateFault:
            return False
        return True

    def server_processes(self, identifier: str, title: str) -> list[psutil.Process]:
        """Return the processes of an instance's servers whose title contains a text, such as ``walreceiver``."""
        instances = self.rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
        resource = instances[0]["DbiResourceId"]
        found = []
        for process in psutil.process_iter(["cwd", "cmdline"]):
            info = process.info
            if resource in (info["cwd"] or "") and title in " ".join(info["cmdline"] or ()):
                found.append(process)
        return found


@contextlib.contextmanager
def running(data: Path) -> Iterator[LocalRds]:
    """Run a local RDS for the length of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    share_templates(data / "fleet")
    lifecycle.up(data, port)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in lifecycle.env(data).items():
                patch.setitem(os.environ, name, value)
            patch.setattr(boto3, "DEFAULT_SESSION", None)  # it would keep the keys of another local RDS
            yield LocalRds(data)
    finally:
        lifecycle.down(data)


@pytest.fixture(scope="session")
def local_rds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRds]:
    """Yield a local RDS of this run's own."""
    with running(tmp_path_factory.mktemp("local-rds")) as local:
        yield local
