"""Provide RDS for MySQL and RDS for MariaDB. Programs are looked up or downloaded when first needed."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from rdskit.kernel.typing import override
from rdskit.local.engines.mysql.installations import Installation, ensure_mariadb, ensure_mysql
from rdskit.local.engines.mysql.sql import MySQLSession
from rdskit.local.fleet.mysql.parameters import translate
from rdskit.local.fleet.mysql.roles import check_master_user
from rdskit.local.fleet.mysql.server import MariaDBMember, MySQLMember

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.endpoints.model import Protocol as WireProtocol
    from rdskit.local.engines.session import Account
    from rdskit.local.fleet.engine import Server
    from rdskit.local.fleet.translation import Translation

_log = logging.getLogger(__name__)


class MySQLFamily(ABC):
    """Engine of the MySQL family: what RDS for MySQL and RDS for MariaDB have in common."""

    protocol: WireProtocol = "mysql"
    limits: Collection[str] = ()

    def __init__(self) -> None:
        self._found: Installation | None = None
        # Two first instances may be created at once. The second waits for the first one's download.
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Find the programs; unpack them into the user's cache if there are none."""
        self._installation()

    @abstractmethod
    def server(self, data: Path, address: Endpoint, account: Account, identifier: str) -> Server:
        """Return the server of a data directory."""

    def check_master_user(self, name: str) -> None:
        """Refuse a master user name that RDS reserves."""
        check_master_user(name)

    def translate(self, parameters: Mapping[str, str]) -> Translation:
        """Translate a parameter group."""
        return translate(parameters)

    def login(self, address: Endpoint, account: Account, database: str | None, ca: Path) -> None:
        """Log in over TLS, as a client does."""
        MySQLSession.open(address, account, database, ca=ca).close()

    @abstractmethod
    def _ensure(self) -> Installation:
        """Return the preferred programs, and download them if needed."""

    def _installation(self) -> Installation:
        with self._lock:
            if self._found is None:
                self._found = self._ensure()
            return self._found


class MySQL(MySQLFamily):
    """RDS for MySQL."""

    name = "mysql"

    @override
    def server(self, data: Path, address: Endpoint, account: Account, identifier: str) -> Server:
        """Return the server of a data directory."""
        return MySQLMember(data, address, self._installation(), account)

    def _ensure(self) -> Installation:
        return ensure_mysql(_log.info)


class MariaDB(MySQLFamily):
    """RDS for MariaDB."""

    name = "mariadb"

    @override
    def server(self, data: Path, address: Endpoint, account: Account, identifier: str) -> Server:
        """Return the server of a data directory."""
        return MariaDBMember(data, address, self._installation(), account)

    def _ensure(self) -> Installation:
        return ensure_mariadb(_log.info)
