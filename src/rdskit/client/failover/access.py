"""Open connections to the hosts of a cluster, with its driver, credentials and TLS settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.client.credentials import log_in
from rdskit.client.failover.control_connections import ControlConnections
from rdskit.kernel.connect_errors import no_writer_there
from rdskit.kernel.events import CredentialsRotated
from rdskit.kernel.pipelining import Pipelining
from rdskit.kernel.ports import ConnectOptions
from rdskit.kernel.session_settings import settings_pin
from rdskit.kernel.topology import Host, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from ssl import SSLContext
    from typing import Any

    from rdskit.kernel.codecs import NamedCodec
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.pipelining import Pipeline
    from rdskit.kernel.ports import Connection, Credentials, Driver, Login, Setting
    from rdskit.runtime.observers import Observers

_CLOSE_TIMEOUT = 2.0  # seconds to close a connection to a host with the wrong role


class Access:
    """Driver, credentials, TLS and database name, which are the same for all hosts.

    Attributes:
        control_connections: connections for the cluster's own queries, outside the pools.
    """

    def __init__(
        self,
        driver: Driver,
        credentials: Credentials,
        *,
        database: str | None,
        tls: SSLContext | None,
        connect_timeout: float,
        application_name: str,
        settings: tuple[Setting, ...] = (),
        codecs: tuple[NamedCodec, ...] = (),
        pinning: str = "auto",
        current_tls: Callable[[], SSLContext | None] | None = None,
        cleartext_password: bool = False,
        pipeline: str = "off",
    ) -> None:
        self.driver = driver
        self.credentials = credentials
        self.database = database
        self.tls = tls
        self._current_tls = current_tls or (lambda: self.tls)
        self.connect_timeout = connect_timeout
        self.application_name = application_name
        self.settings = settings
        self.codecs = codecs
        self.control_connections = ControlConnections(self._open_control_connection)
        self._pinning = pinning
        self._pipeline = pipeline
        self.cleartext_password = cleartext_password

    def is_stateless(self, endpoint: Endpoint) -> bool:
        """Return whether sessions on a host must hold no state, so that RDS Proxy does not pin them."""
        return self._pinning == "avoid" or (self._pinning == "auto" and endpoint.is_rds_proxy)

    async def open(self, host: Host, observers: Observers | None = None, *, read_only: bool = False) -> Connection:
        """Open a connection, and verify that a host expected to be the writer is one.

        After a refused login, the next one that the credentials offer is tried, within ``connect_timeout`` in total.

        Args:
            host: the host, and the role it is expected to have.
            observers: notified if the credentials were rotated.
            read_only: let the server refuse writes.

        Raises:
            DriverError: the host refused the connection, or is not the writer that it should be.
            RdskitError: the credentials gave no login.
        """
        options = self._options(host, read_only=read_only)

        async def connect(login: Login) -> Connection:
            connection = await self.driver.connect(options, login)
            await _verify(connection, host)
            return connection

        connection, accepted = await log_in(connect, self.credentials, host.endpoint, self.connect_timeout)
        if accepted.refusals and observers:
            observers.notify(CredentialsRotated(str(host.endpoint), accepted.login.user))
        return connection

    def pipelines(self, endpoint: Endpoint) -> bool:
        """Return whether reads on a host may be pipelined: not through a proxy, which changes sessions."""
        capable = self._pipeline == "auto" and self.driver.capabilities.pipelining
        return capable and not self.is_stateless(endpoint) and isinstance(self.driver, Pipelining)

    async def open_pipeline(self, host: Host, *, read_only: bool = False) -> Pipeline:
        """Open a pipelined connection and verify that the host has the role that the topology says.

        Args:
            host: where to, and the role it is expected to have.
            read_only: have the server refuse writes.

        Raises:
            DriverError: the host refused, or is not the writer that it should be.
            RdskitError: the credentials could not give a login.
        """
        driver, options = self.driver, self._options(host, read_only=read_only)
        assert isinstance(driver, Pipelining), driver

        async def connect(login: Login) -> Pipeline:
            pipeline = await driver.pipeline(options, login)
            if host.role is Role.WRITER and pipeline.role is not Role.WRITER:
                pipeline.end()
                await pipeline.close(_CLOSE_TIMEOUT)
                raise no_writer_there(host.endpoint)
            return pipeline

        opened, _ = await log_in(connect, self.credentials, host.endpoint, self.connect_timeout)
        return opened

    def _open_control_connection(self, endpoint: Endpoint) -> Coroutine[Any, Any, Connection]:
        return self.open(Host(str(endpoint), endpoint, Role.READER))  # whose role is not verified

    def _options(self, host: Host, *, read_only: bool) -> ConnectOptions:
        stateless = self.is_stateless(host.endpoint)
        if stateless and self.settings:
            raise settings_pin(host.endpoint)
        return ConnectOptions(
            host.endpoint,
            self.database,
            self._current_tls(),
            self.connect_timeout,
            self.application_name,
            stateless=stateless,
            read_only=read_only,
            settings=self.settings,
            codecs=self.codecs,
            cleartext_password=self.cleartext_password,
        )


async def _verify(connection: Connection, host: Host) -> None:
    # Only the writer's role matters: a former writer may still accept logins, and would refuse every write.
    if host.role is Role.WRITER and connection.role is not Role.WRITER:
        await connection.close(_CLOSE_TIMEOUT)
        raise no_writer_there(host.endpoint)
