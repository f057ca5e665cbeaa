"""Run MySQL and MariaDB servers for the length of a ``with`` block, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Self

from rdskit.local.engines.addresses import AddressBook
from rdskit.local.engines.mysql.family import MySQLFamilyServer
from rdskit.local.engines.mysql.installations import ensure_mariadb, ensure_mysql
from rdskit.local.engines.mysql.mariadb import MariaDBServer
from rdskit.local.engines.mysql.mysql import MySQLServer
from rdskit.local.engines.reachable import Reachable
from rdskit.local.engines.session import Account

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rdskit.local.engines.mysql.installations import Installation


class ThrowawayFamilyServer(Reachable, MySQLFamilyServer):
    """Running server of the MySQL family, with its address and its superuser's login."""

    @property
    def dsn(self) -> str:
        """A URL for any driver; the server speaks no TLS."""
        scheme = self.installation.product.lower()
        return f"{scheme}://{self.superuser}:{self.password}@{self.host}:{self.port}/"

    def replica(self, directory: Path, *, acknowledge: bool = False, settings: Mapping[str, str] | None = None) -> Self:
        """Start a read replica of this server, to be stopped before its source.

        Args:
            directory: for its data.
            acknowledge: whether it is a semi-synchronous one.
            settings: server variables that differ from the defaults.
        """
        directory.mkdir(parents=True, exist_ok=True)
        address = AddressBook(directory).allocate()
        twin = type(self)(directory / "data", address, self.installation, self.account)
        twin.clone(self)
        twin.configure(settings or {})
        twin.start()
        twin.follow(self, acknowledge=acknowledge)
        return twin


class ThrowawayMariaDB(ThrowawayFamilyServer, MariaDBServer):
    """Running MariaDB server."""


class ThrowawayMySQL(ThrowawayFamilyServer, MySQLServer):
    """Running MySQL server."""


@contextlib.contextmanager
def throwaway_mariadb(
    directory: Path,
    *,
    settings: Mapping[str, str] | None = None,
    templates: Path | None = None,
    installation: Installation | None = None,
) -> Iterator[ThrowawayMariaDB]:
    """Run a MariaDB server for the length of the block; nothing is left afterwards.

    Args:
        directory: for its data, such as pytest's ``tmp_path``.
        settings: server variables that differ from the defaults.
        templates: a directory shared by several servers, to initialize once; None keeps it in ``directory``.
        installation: the programs; None takes the preferred ones, unpacked if none are installed.

    Yields:
        The running server.
    """
    account, address = _account(templates), AddressBook(directory).allocate()
    server = ThrowawayMariaDB(directory / "mariadb", address, installation or ensure_mariadb(), account)
    with _running(server, settings or {}, templates or directory / "templates"):
        yield server


@contextlib.contextmanager
def throwaway_mysql(
    directory: Path,
    *,
    settings: Mapping[str, str] | None = None,
    templates: Path | None = None,
    installation: Installation | None = None,
) -> Iterator[ThrowawayMySQL]:
    """Run a MySQL server for the length of the block; arguments as of :func:`throwaway_mariadb`.

    Yields:
        The running server.
    """
    account, address = _account(templates), AddressBook(directory).allocate()
    server = ThrowawayMySQL(directory / "mysql", address, installation or ensure_mysql(), account)
    with _running(server, settings or {}, templates or directory / "templates"):
        yield server


def _account(templates: Path | None) -> Account:
    return Account("rdsadmin", "throwaway" if templates else secrets.token_hex(8))


@contextlib.contextmanager
def _running(server: MySQLFamilyServer, settings: Mapping[str, str], templates: Path) -> Iterator[None]:
    try:
        server.init(templates)
        server.configure(settings)
        server.start()
        yield
    finally:
        server.kill()
        server.remove()
