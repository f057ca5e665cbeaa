"""Provide RDS for PostgreSQL."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

from rdskit.local.engines.postgres.providers import Binaries, find_postgres
from rdskit.local.engines.postgres.sql import PostgresSession
from rdskit.local.fleet.postgres.parameters import translate
from rdskit.local.fleet.postgres.policy import RECOVERY_LIMITS
from rdskit.local.fleet.postgres.roles import check_master_user
from rdskit.local.fleet.postgres.server import PostgresMember

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.engines.session import Account
    from rdskit.local.fleet.engine import Server
    from rdskit.local.fleet.translation import Translation


class Postgres:
    """RDS for PostgreSQL, in the major version that a data directory needs."""

    name = "postgres"
    protocol: Literal["postgresql"] = "postgresql"
    limits: Collection[str] = RECOVERY_LIMITS.keys()

    def __init__(self) -> None:
        self._binaries: dict[int | None, Binaries] = {}
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Find the programs of PostgreSQL."""
        self._find(None)

    def server(self, data: Path, address: Endpoint, account: Account, identifier: str) -> Server:  # noqa: ARG002 - used by clusters
        """Return the server of a data directory."""
        return PostgresMember(data, address, self._binaries_of(data), account)

    def check_master_user(self, name: str) -> None:
        """Refuse a master user name that RDS reserves."""
        check_master_user(name)

    def translate(self, parameters: Mapping[str, str]) -> Translation:
        """Translate a parameter group."""
        return translate(parameters)

    def login(self, address: Endpoint, account: Account, database: str | None, ca: Path) -> None:
        """Log in over TLS, as a client does."""
        PostgresSession.open(address, account, database or "postgres", ca=ca).close()

    def _binaries_of(self, data: Path) -> Binaries:
        """Return the programs of the major version that wrote a data directory, else the preferred ones.

        A server refuses a data directory of another major version.
        """
        version = data / "PG_VERSION"
        return self._find(int(version.read_text()) if version.exists() else None)

    def _find(self, major: int | None) -> Binaries:
        with self._lock:
            if major not in self._binaries:
                self._binaries[major] = find_postgres(major)
            return self._binaries[major]
