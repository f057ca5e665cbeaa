"""Opens connections to MySQL and MariaDB."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from typing import TYPE_CHECKING, Any, Final

from asyncmy.errors import MySQLError

from rdskit.drivers.greeting import PATIENCE, engine_at, other_protocol
from rdskit.drivers.mysql.binlog import BinlogConnection
from rdskit.drivers.mysql.connection import MysqlConnection
from rdskit.drivers.mysql.failures import number_of, refused
from rdskit.drivers.mysql.session import PreparedSession, new_connection, offers_tls, open_session
from rdskit.kernel.connect_errors import NO_TLS, TLS_DEMANDED, connect_error
from rdskit.kernel.ports import Capabilities, DriverError
from rdskit.kernel.targets import Engine
from rdskit.runtime.receive_buffers import keep_receive_buffers

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import ConnectOptions, Login

_ACCESS_DENIED: Final = 1045


class AsyncmyDriver:
    """Opens connections to MySQL and MariaDB; which of the two answers is learned from its greeting."""

    def __init__(self) -> None:
        self._met: set[Endpoint] = set()  # have greeted as MySQL does: whatever they do later is no other protocol
        keep_receive_buffers()

    capabilities: Final = Capabilities(replication=True)

    async def connect(self, options: ConnectOptions, login: Login) -> MysqlConnection:
        """Open a connection and learn its role from the server's read-only settings."""

        async def reopen() -> PreparedSession:
            try:
                session = await _session(options, login)
            except DriverError as error:
                raise await self._other_protocol(error, options) or error from error.__cause__
            self._met.add(options.endpoint)
            return session

        return MysqlConnection(await reopen(), options, reopen)

    async def _other_protocol(self, error: DriverError, options: ConnectOptions) -> DriverError | None:
        """Return the error for a server that waits for the client to speak first, as PostgreSQL does."""
        if not isinstance(error.__cause__, TimeoutError) or options.endpoint in self._met:
            return None
        # A short question: the error of the attempt itself must be known before the caller's deadline.
        found = await engine_at(options.endpoint, min(PATIENCE, options.timeout / 4))
        return other_protocol(found, Engine.MYSQL, options.endpoint)

    async def replicate(self, options: ConnectOptions, login: Login) -> BinlogConnection:
        """Open a connection that is to receive the binary log."""
        return BinlogConnection(await _session(options, login), options.endpoint)


async def _session(options: ConnectOptions, login: Login) -> PreparedSession:
    raw = new_connection(options, login)
    try:
        async with asyncio.timeout(options.timeout):
            return await open_session(raw, options)
    except Exception as error:
        if options.tls is not None and not options.endpoint.is_unix_socket and not offers_tls(raw):
            raise connect_error(NO_TLS, options.endpoint, "its greeting does not announce it") from error
        if await _is_refused_for_want_of_tls(error, raw, options, login):
            raise connect_error(TLS_DEMANDED, options.endpoint, str(error.args[-1])) from error
        raise refused(error, options, login) from error


async def _is_refused_for_want_of_tls(error: Exception, raw: Any, options: ConnectOptions, login: Login) -> bool:
    """Return whether a login that was refused in the clear is accepted over TLS.

    A user that is made with REQUIRE SSL gets the answer of a wrong password, as does every user of a MariaDB with
    require_secure_transport: only another login tells. The caller asked for no verification, so there is none here.
    """
    if options.tls is not None or number_of(error) != _ACCESS_DENIED or options.endpoint.is_unix_socket:
        return False
    if not offers_tls(raw):
        return False
    encrypted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    encrypted.check_hostname, encrypted.verify_mode = False, ssl.CERT_NONE
    again = new_connection(dataclasses.replace(options, tls=encrypted), login)
    try:
        async with asyncio.timeout(options.timeout):
            await open_session(again, dataclasses.replace(options, settings=()))
    except (MySQLError, OSError):  # the first refusal is what the caller gets
        return False
    again.close()
    return True
