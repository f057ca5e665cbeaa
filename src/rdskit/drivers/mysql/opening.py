"""Open connections to MySQL and MariaDB."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from typing import TYPE_CHECKING, Any, Final

from asyncmy.errors import MySQLError

from rdskit.drivers.greeting import DETECTION_TIMEOUT, engine_at, other_protocol
from rdskit.drivers.mysql.binlog import BinlogConnection
from rdskit.drivers.mysql.connection import MysqlConnection
from rdskit.drivers.mysql.failures import number_of, refused
from rdskit.drivers.mysql.pipeline import MysqlPipeline
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
    """Open connections to MySQL and MariaDB; the server's greeting says which of the two it is."""

    def __init__(self) -> None:
        # Hosts that have accepted a MySQL login: no later failure of theirs means another protocol.
        self._known_mysql: set[Endpoint] = set()
        keep_receive_buffers()

    capabilities: Final = Capabilities(replication=True, pipelining=True)

    async def connect(self, options: ConnectOptions, login: Login) -> MysqlConnection:
        """Open a connection and read its role from the server's read-only settings."""

        async def reopen() -> PreparedSession:
            try:
                session = await _session(options, login)
            except DriverError as error:
                raise await self._other_protocol(error, options) or error from error.__cause__
            self._known_mysql.add(options.endpoint)
            return session

        return MysqlConnection(await reopen(), options, reopen)

    async def pipeline(self, options: ConnectOptions, login: Login) -> MysqlPipeline:
        """Open a pipelined connection, with the session that the pooled ones have."""
        session = await _session(options, login)
        return MysqlPipeline(session, options.endpoint, lambda: _session(options, login))

    async def _other_protocol(self, error: DriverError, options: ConnectOptions) -> DriverError | None:
        """Return the error for a server that waits for the client's first message, as PostgreSQL does."""
        if not isinstance(error.__cause__, TimeoutError) or options.endpoint in self._known_mysql:
            return None
        # Bounded by a quarter of the timeout: the attempt's own error must reach the caller before its deadline.
        found = await engine_at(options.endpoint, min(DETECTION_TIMEOUT, options.timeout / 4))
        return other_protocol(found, Engine.MYSQL, options.endpoint)

    async def replicate(self, options: ConnectOptions, login: Login) -> BinlogConnection:
        """Open a connection for receiving the binary log."""
        return BinlogConnection(await _session(options, login), options.endpoint)


async def _session(options: ConnectOptions, login: Login) -> PreparedSession:
    raw = new_connection(options, login)
    try:
        async with asyncio.timeout(options.timeout):
            return await open_session(raw, options)
    except Exception as error:
        if options.tls is not None and not options.endpoint.is_unix_socket and not offers_tls(raw):
            raise connect_error(NO_TLS, options.endpoint, "its greeting does not announce it") from error
        if await _requires_tls(error, raw, options, login):
            raise connect_error(TLS_DEMANDED, options.endpoint, str(error.args[-1])) from error
        raise refused(error, options, login) from error


async def _requires_tls(error: Exception, raw: Any, options: ConnectOptions, login: Login) -> bool:
    """Return whether a login that was refused without TLS is accepted over TLS.

    A user created with REQUIRE SSL gets the same answer as for a wrong password. So does every user of a MariaDB with
    require_secure_transport. Only a second login tells the difference. The caller asked for no verification, so this
    attempt verifies nothing.
    """
    if options.tls is not None or number_of(error) != _ACCESS_DENIED or options.endpoint.is_unix_socket:
        return False
    if not offers_tls(raw):
        return False
    encrypted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    encrypted.check_hostname, encrypted.verify_mode = False, ssl.CERT_NONE
    probe = new_connection(dataclasses.replace(options, tls=encrypted), login)
    try:
        async with asyncio.timeout(options.timeout):
            await open_session(probe, dataclasses.replace(options, settings=()))
    except (MySQLError, OSError):  # the first refusal is what the caller gets
        return False
    probe.close()
    return True
