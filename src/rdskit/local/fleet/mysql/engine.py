"""RDS for MySQL and RDS for MariaDB. Their programs are looked up, or fetched, when an instance first needs them."""

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
    """What RDS for MySQL and RDS for MariaDB have in common."""

    protocol: WireProtocol = "mysql"
    limits: Collection[str] = ()

    def __init__(self) -> None:
        self._found: Installation | None = None
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Find the programs; unpack them into the user's cache where they are nowhere."""
        self._installation()

    @abstractmethod
    def server(self, data: Path, address: Endpoint, account: Account, identifier: str) -> Server:
        """The server of a data directory."""

    def check_master_user(self, name: str) -> None:
        """Refuse a reserved name."""
        check_master_user(name)

    def translate(self, parameters: Mapping[str, str]) -> Translation:
        """Translate a parameter group."""
        return translate(parameters)

    def login(self, address: Endpoint, account: Account, database: str | None, ca: Path) -> None:
        """Log in over TLS."""
        MySQLSession.open(address, account, database, ca=ca).close()

    @abstractmethod
    def _ensure(self) -> Installation:
        """The preferred programs, fetched if need be."""

    def _installation(self) -> Installation:
        with self._lock:
            if self._found is None:
                self._found = self._ensure()
            return self._found


class MySQL(MySQLFamily):
    """MySQL."""

    name = "mysql"

    @override
    def server(self, data: Path, address: Endpoint, account: Account, identifier: str) -> Server:
        """The server of a data directory."""
        return MySQLMember(data, address, self._installation(), account)

    def _ensure(self) -> Installation:
        return ensure_mysql(_log.info)


class MariaDB(MySQLFamily):
    """MariaDB."""

    name = "mariadb"

    @override
    def server(self, data: Path, address: Endpoint, account: Account, identifier: str) -> Server:
        """The server of a data directory."""
        return MariaDBMember(data, address, self._installation(), account)

    def _ensure(self) -> Installation:
        return ensure_mariadb(_log.info)
