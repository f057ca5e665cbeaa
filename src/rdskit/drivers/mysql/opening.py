"""Opens connections to MySQL and MariaDB."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rdskit.drivers.mysql.connection import MysqlConnection
from rdskit.drivers.mysql.failures import refused
from rdskit.drivers.mysql.session import Session, new_connection, offers_tls, open_session
from rdskit.drivers.refusals import no_tls_offered

if TYPE_CHECKING:
    from rdskit.kernel.ports import ConnectOptions, Login


class AsyncmyDriver:
    """Opens connections to MySQL and MariaDB; which of the two answers is learned from its greeting."""

    async def connect(self, options: ConnectOptions, login: Login) -> MysqlConnection:
        """Open a connection and learn its role from the server's read-only settings."""

        async def reopen() -> Session:
            return await _session(options, login)

        return MysqlConnection(await reopen(), options, reopen)


async def _session(options: ConnectOptions, login: Login) -> Session:
    raw = new_connection(options, login)
    try:
        async with asyncio.timeout(options.timeout):
            return await open_session(raw, read_only=options.read_only)
    except Exception as error:
        if options.tls is not None and not offers_tls(raw):
            raise no_tls_offered(options.endpoint) from error
        raise refused(error, options, login) from error
