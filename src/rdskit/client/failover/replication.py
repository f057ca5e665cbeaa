"""Open replication connections to a cluster's writer, with the same login as all other connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from rdskit.client.failover.access import Access
from rdskit.errors import ConfigError
from rdskit.kernel.ports import DriverError, Replicating
from rdskit.kernel.topology import Host, Role

if TYPE_CHECKING:
    from rdskit.client.failover.cluster import Cluster
    from rdskit.kernel.ports import Capabilities, Connection, ConnectOptions, Login
    from rdskit.kernel.replication import BinlogReplication, LogicalReplication


class _ReplicationDriver:
    """Opens replication connections in place of ordinary ones, for `Access`, which only returns them."""

    def __init__(self, driver: Replicating, capabilities: Capabilities) -> None:
        self._driver = driver
        self.capabilities = capabilities

    async def connect(self, options: ConnectOptions, login: Login) -> Connection:
        """Open a replication connection."""
        return cast("Connection", await self._driver.replicate(options, login))


async def open_replication(cluster: Cluster) -> LogicalReplication | BinlogReplication:
    """Open a replication connection to the writer, with the credentials, TLS and login retry of every connection.

    Raises:
        ConfigError: the driver has none.
        RdskitError: the host refused the connection, or the credentials gave no login.
    """
    access = cluster.access
    driver = access.driver
    if not isinstance(driver, Replicating) or not cluster.capabilities.replication:
        raise ConfigError("this driver has no replication connections")
    writer = cluster.writer.endpoint
    replicating = Access(
        _ReplicationDriver(driver, driver.capabilities),
        access.credentials,
        database=access.database,
        tls=access.tls,
        connect_timeout=access.connect_timeout,
        application_name=access.application_name,
        cleartext_password=access.cleartext_password,
    )
    try:
        # A reader's role is not verified, and a replication connection does not report its role.
        opened: Any = await replicating.open(Host(str(writer), writer, Role.READER))
    except DriverError as error:
        raise error.public from error.__cause__
    connection: LogicalReplication | BinlogReplication = opened
    return connection
