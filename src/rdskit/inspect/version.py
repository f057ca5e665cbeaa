"""Query the server's product and version."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from rdskit.client.api import dialect_of
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    from rdskit.client.api import Database


class Version(NamedTuple):
    """The server's product and version.

    Attributes:
        product: ``postgres``, ``mysql`` or ``mariadb``.
        major: as in 18 or 10.
        minor: as in 6 or 11.
    """

    product: str
    major: int
    minor: int

    def at_least(self, major: int, minor: int = 0) -> bool:
        """Return whether it is this version or a later one."""
        return (self.major, self.minor) >= (major, minor)


async def server_version(db: Database) -> Version:
    """Return the product and version of the writer."""
    if dialect_of(db) is Dialect.POSTGRES:
        number = int(await db.fetch_value("select current_setting('server_version_num')"))
        return Version("postgres", number // 10_000, number % 10_000)
    text = str(await db.fetch_value("select version()"))
    found = re.match(r"(?:5\.5\.5-)?(\d+)\.(\d+)", text)  # MariaDB's replication prefix
    assert found, text
    return Version("mariadb" if "mariadb" in text.lower() else "mysql", int(found[1]), int(found[2]))
