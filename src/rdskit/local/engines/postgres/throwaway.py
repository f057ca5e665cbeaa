"""Run a PostgreSQL server for the length of a ``with`` block, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Self

from rdskit.local.engines.addresses import AddressBook
from rdskit.local.engines.postgres.configuration import upstream
from rdskit.local.engines.postgres.providers import Binaries, find_postgres
from rdskit.local.engines.postgres.server import PostgresServer
from rdskit.local.engines.reachable import Reachable
from rdskit.local.engines.session import Account

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class ThrowawayPostgres(Reachable, PostgresServer):
    """Running PostgreSQL server, with its address and its superuser's login."""

    @property
    def dsn(self) -> str:
        """A URL for any driver; the server speaks no TLS."""
        return f"postgresql://{self.superuser}:{self.password}@{self.host}:{self.port}/postgres?sslmode=disable"

    def replica(self, directory: Path) -> Self:
        """Start a read replica of this server, to be stopped before its source.

        Args:
            directory: for its data.
        """
        address = AddressBook(directory).allocate()
        twin = type(self)(directory / "data", address, self.binaries, self.account)
        twin.clone(self)
        twin.configure(upstream(self.address, self.account, twin.data, "replica"))
        twin.start()
        return twin


@contextlib.contextmanager
def throwaway_postgres(
    directory: Path,
    *,
    settings: Mapping[str, str] | None = None,
    templates: Path | None = None,
    binaries: Binaries | None = None,
) -> Iterator[ThrowawayPostgres]:
    """Run a PostgreSQL server for the length of the block; nothing is left afterwards.

    Args:
        directory: for its data, such as pytest's ``tmp_path``.
        settings: values of ``postgresql.conf`` that differ from the defaults.
        templates: a directory shared by several servers, to initialize once; None keeps it in ``directory``.
        binaries: the programs; None takes the preferred ones.

    Yields:
        The running server.
    """
    account = Account("postgres", "throwaway" if templates else secrets.token_hex(8))
    address = AddressBook(directory).allocate()
    server = ThrowawayPostgres(directory / "postgres", address, binaries or find_postgres(), account)
    try:
        server.init(templates or directory / "templates")
        server.configure(settings or {})
        server.start()
        yield server
    finally:
        server.stop("immediate")
        server.remove()
