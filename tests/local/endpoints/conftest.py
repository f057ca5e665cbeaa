"""An endpoint process in front of a real server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psycopg
import pytest

from rdskit.local.certificates import LocalAuthority
from rdskit.local.endpoints.model import EndpointState
from rdskit.local.endpoints.process import EndpointProcess
from rdskit.local.engines.addresses import AddressBook
from rdskit.local.engines.throwaway import ThrowawayPostgres, throwaway_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint


@dataclass(frozen=True)
class Bench:
    """An endpoint, the process that serves it and the server behind it."""

    process: EndpointProcess
    state: EndpointState
    server: ThrowawayPostgres
    ca: Path

    @property
    def address(self) -> Endpoint:
        return self.state.address

    def connect(self, **options: str) -> psycopg.Connection:
        """A connection through the endpoint, verifying its certificate unless told otherwise."""
        settings = {
            "user": self.server.superuser,
            "password": self.server.password,
            "sslmode": "verify-full",
            "sslrootcert": str(self.ca),
            "gssencmode": "disable",
            **options,
        }
        return psycopg.connect(
            f"host={self.address.host} port={self.address.port} dbname=postgres connect_timeout=10",
            autocommit=True,
            **settings,  # type: ignore[arg-type]  # libpq takes any option as text
        )

    def set(self, *, cut: bool = False, **changes: object) -> None:
        """Change the endpoint; what is not named stays as it was made."""
        self.process.set(replace(self.state, **changes), cut=cut)  # type: ignore[arg-type]  # fields by name


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayPostgres]:
    with throwaway_postgres(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def process() -> Iterator[EndpointProcess]:
    process = EndpointProcess()
    process.start()
    yield process
    process.close()


@pytest.fixture
def bench(tmp_path: Path, server: ThrowawayPostgres, process: EndpointProcess) -> Bench:
    address = AddressBook(tmp_path, taken=[server.address]).allocate(5432)
    authority = LocalAuthority(tmp_path)
    files = authority.issue(tmp_path, "orders", [address.host])
    state = EndpointState("orders", address, str(files.certificate), str(files.key), server.address)
    process.set(state)
    return Bench(process, state, server, authority.ensure())
