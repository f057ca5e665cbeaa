"""Open PostgreSQL connections through asyncpg."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from rdskit.drivers.greeting import engine_at, other_protocol
from rdskit.drivers.postgres import upgrade
from rdskit.drivers.postgres.codecs import set_codecs
from rdskit.drivers.postgres.connection import PostgresConnection, StatelessPostgresConnection
from rdskit.drivers.postgres.failures import mapped, refused
from rdskit.drivers.postgres.raw import Raw
from rdskit.drivers.postgres.row import Row
from rdskit.drivers.postgres.statements import Schemas
from rdskit.drivers.postgres.values import set_time_codecs
from rdskit.drivers.postgres.wal import WalConnection
from rdskit.drivers.postgres.wire import PostgresPipeline, open_pipeline
from rdskit.kernel.ports import Capabilities, DriverError
from rdskit.kernel.session_settings import as_start_up_parameters
from rdskit.kernel.targets import Engine
from rdskit.runtime.keepalive import keep_alive
from rdskit.runtime.receive_buffers import keep_receive_buffers

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import ConnectOptions, Login


class AsyncpgDriver:
    """Open PostgreSQL connections."""

    def __init__(self) -> None:
        # Hosts that have accepted a PostgreSQL login: no later failure of theirs means another protocol.
        self._known_postgres: set[Endpoint] = set()
        self._schemas = Schemas()
        keep_receive_buffers()

    capabilities: Final = Capabilities(notifications=True, replication=True, pipelining=True)

    async def connect(self, options: ConnectOptions, login: Login) -> PostgresConnection:
        """Open a connection; the server reports its role during the login."""
        try:
            with upgrade.abort_on_error():
                raw = await _open(options, login, _settings(options))
                await _set_codecs(raw, options)
        except DriverError:
            raise
        except Exception as error:
            raise await self._other_protocol(error, options) or refused(error, options, login) from error
        self._known_postgres.add(options.endpoint)
        kind = StatelessPostgresConnection if options.stateless else PostgresConnection
        return kind(raw, options, self._schemas)

    async def pipeline(self, options: ConnectOptions, login: Login) -> PostgresPipeline:
        """Open a pipelined connection, with the session that the pooled ones have."""
        try:
            with upgrade.abort_on_error():
                raw = await _open(options, login, _settings(options))
                await _set_codecs(raw, options)
        except DriverError:
            raise
        except Exception as error:
            raise refused(error, options, login) from error
        return open_pipeline(raw, options.endpoint)

    async def _other_protocol(self, error: Exception, options: ConnectOptions) -> DriverError | None:
        """Return the error for a server that is not PostgreSQL; None where nothing indicates that."""
        # asyncpg fails like this when MySQL's greeting arrives, as the answer to SSLRequest or to the startup message.
        signs = "rejected SSL upgrade" in str(error) or isinstance(error, asyncpg.ConnectionDoesNotExistError)
        if not signs or options.endpoint in self._known_postgres:
            return None
        return other_protocol(await engine_at(options.endpoint), Engine.POSTGRES, options.endpoint)

    async def replicate(self, options: ConnectOptions, login: Login) -> WalConnection:
        """Open a replication connection to a database."""
        settings = {"application_name": options.application_name, "replication": "database"}
        try:
            with upgrade.abort_on_error():
                raw = await _open(options, login, settings)
        except Exception as error:
            raise refused(error, options, login) from error
        return WalConnection(raw, options.endpoint, mapped)


async def _open(options: ConnectOptions, login: Login, settings: dict[str, str]) -> Any:
    host, port = options.endpoint
    raw = await upgrade.connect(
        cleartext_password=options.cleartext_password,
        host=host,
        port=port,
        user=login.user,
        password=login.password or "",
        database=options.database or login.user,
        ssl=options.tls or False,
        timeout=options.timeout,
        record_class=Row,
        connection_class=Raw,
        statement_cache_size=0 if options.stateless else 100,
        max_cacheable_statement_size=1,  # cache none: COPY would keep column types that ALTER TABLE has changed
        server_settings=settings,
    )
    keep_alive(raw._transport.get_extra_info("socket"))  # noqa: SLF001 - asyncpg has no option for it
    return raw


async def _set_codecs(raw: Raw, options: ConnectOptions) -> None:
    try:
        set_time_codecs(raw)
        async with asyncio.timeout(options.timeout):
            await set_codecs(raw, options.codecs)
    except BaseException:
        raw.terminate()
        raise


def _settings(options: ConnectOptions) -> dict[str, str]:
    read_only = {"default_transaction_read_only": "on"} if options.read_only else {}
    chosen = as_start_up_parameters(options.settings)
    return {**chosen, "application_name": options.application_name, **read_only}


__all__ = ["AsyncpgDriver", "PostgresConnection", "Row"]
