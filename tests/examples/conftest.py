"""The instance that the examples share, and their processes."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from rdskit import sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.local_rds import LocalRds

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PATIENCE = 60.0
#: Servers close a connection that was idle for 5 s: ours are let go before, lest a request meet that.
LIMITS = httpx.Limits(keepalive_expiry=1.0)


@dataclass(frozen=True, slots=True)
class Shop:
    """A Multi-AZ instance with a replica, and the environment that names it to the examples."""

    local: LocalRds
    identifier: str
    log: Path

    @property
    def target(self) -> str:
        """Return where the database is."""
        return f"rds://{self.identifier}/app"

    @property
    def credentials(self) -> str:
        """The managed master password."""
        return f"secretsmanager:{self.local.secret(self.identifier)}"

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of an example's process."""
        return {**os.environ, "SHOP_DATABASE": self.target, **more}

    def count(self, statement: str) -> int:
        """Return one number from the writer."""
        with sync.connect(self.target, credentials=self.credentials, readers="off") as db:
            found: int = db.fetch_value(statement)
        return found

    def run(self, *words: str, **environment: str) -> str:
        """Run a Python program to its end."""
        ended = subprocess.run(
            [sys.executable, *words], env=self.environment(**environment), capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    @contextlib.contextmanager
    def running(self, *words: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a Python program as long as the block."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *words], env=self.environment(**environment), stdout=log, stderr=subprocess.STDOUT
            )
            try:
                yield process
            finally:
                process.terminate()
                process.wait(PATIENCE)

    @contextlib.contextmanager
    def serving(self, path: str, port: int, *words: str) -> Iterator[httpx.Client]:
        """Run a web application as long as the block, and yield a client of it.

        Args:
            path: answers with 200 once the application is up.
            port: where it listens.
            words: the program.
        """
        with (
            self.running(*words) as process,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False, limits=LIMITS) as client,
        ):
            self._await(client, path, process)
            yield client

    def _await(self, client: httpx.Client, path: str, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            assert process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx.TransportError):
                if client.get(path).status_code == 200:
                    return
            assert time.monotonic() < end, self.log.read_text()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)


@pytest.fixture
def port() -> int:
    """Return a port on which no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        found: int = server.getsockname()[1]
    return found


@pytest.fixture(scope="session")
def instance(local_rds: LocalRds) -> Iterator[str]:
    """Yield the instance that all examples use."""
    local_rds.create("examples", MultiAZ=True, replicas=1)
    yield "examples"
    local_rds.delete("examples-r1", "examples")


@pytest.fixture
def shop(local_rds: LocalRds, instance: str, tmp_path: Path) -> Shop:
    """Return the shop's database."""
    return Shop(local_rds, instance, tmp_path / "log")
