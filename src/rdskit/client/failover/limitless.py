"""Spread connections to an Aurora Limitless database over its routers."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

from rdskit.client.failover.access import Access
from rdskit.client.failover.routers import ROUTERS_QUERY, Router, choose_router, routers_of
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.typing import override

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Connection
    from rdskit.kernel.topology import Host
    from rdskit.runtime.observers import Observers

_VALID_FOR: Final = 7.5  # seconds for which a list of routers with their load is used
_ASK_TIMEOUT: Final = 2.0  # seconds
_log = logging.getLogger("rdskit.failover")


class LimitlessAccess(Access):
    """Opens each connection at a router with little load; every router serves the whole database.

    The shard group's own endpoint balances by DNS, without regard to load. It is used while the routers are unknown.
    That connection then queries the routers, so the query needs no connection of its own.
    """

    _routers: tuple[Router, ...] = ()
    _fetched_at = float("-inf")

    @override
    def pipelines(self, endpoint: Endpoint) -> bool:
        return False  # one connection would have one router do the work of all

    @override
    async def open(self, host: Host, observers: Observers | None = None, *, read_only: bool = False) -> Connection:
        # Use the shard group's own endpoint if no router is known, or if the chosen one is unreachable.
        now = asyncio.get_running_loop().time()
        is_fresh = now - self._fetched_at < _VALID_FOR
        if self._routers and is_fresh:
            router = choose_router(self._routers, random.random())  # noqa: S311 - balancing, not a secret
            try:
                return await super().open(host._replace(endpoint=router.endpoint), observers, read_only=read_only)
            except DriverError as error:
                if error.failure is Failure.REFUSED:
                    raise
                _log.warning("router %s is left out until the next list of routers: %s", router.endpoint, error)
                self._routers = tuple(each for each in self._routers if each is not router)
        connection = await super().open(host, observers, read_only=read_only)
        if not is_fresh:
            try:
                await self._fetch_routers(connection, host.endpoint.port)
            except BaseException:
                # The connection may hold the rest of the answer, so it is of no use to the pool.
                connection.abort()
                raise
        return connection

    async def _fetch_routers(self, connection: Connection, port: int) -> None:
        # Before the query: connections that open in the meantime must not all send it, and a failed one waits too.
        self._fetched_at = asyncio.get_running_loop().time()
        try:
            self._routers = routers_of(await connection.fetch_all(ROUTERS_QUERY, (), _ASK_TIMEOUT), port)
        except DriverError as error:
            if error.failure is not Failure.REFUSED:
                raise
            _log.info("%s lists no routers; its own endpoint is used: %s", connection.endpoint, error)
            self._routers = ()
