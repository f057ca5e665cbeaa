"""Connections to an Aurora Limitless database, spread over its routers."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

from rdskit.client.failover.access import Access
from rdskit.client.failover.routers import QUESTION, Router, choose, routers_of
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.typing import override

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Connection
    from rdskit.kernel.topology import Host
    from rdskit.runtime.observers import Observers

_TOLD_FOR: Final = 7.5  # seconds for which routers and their load are taken as they were told
_ASK_TIMEOUT: Final = 2.0  # seconds
_log = logging.getLogger("rdskit.failover")


class LimitlessAccess(Access):
    """Opens each connection at a router with little load; any of them serves the whole database.

    The name of the shard group itself gives a new address only when DNS is asked, and knows of no load. A connection to
    it is opened when the routers are not known, and then asks for them: no connection is made for that alone.
    """

    _routers: tuple[Router, ...] = ()
    _asked_at = float("-inf")

    @override
    def pipelines(self, endpoint: Endpoint) -> bool:
        return False  # one connection would have one router do the work of all

    @override
    async def open(self, host: Host, observers: Observers | None = None, *, read_only: bool = False) -> Connection:
        # At the shard group's own name where no router is known, or the chosen one is away.
        now = asyncio.get_running_loop().time()
        told = now - self._asked_at < _TOLD_FOR
        if self._routers and told:
            router = choose(self._routers, random.random())  # noqa: S311 - balancing, not a secret
            try:
                return await super().open(host._replace(endpoint=router.endpoint), observers, read_only=read_only)
            except DriverError as error:
                if error.failure is Failure.REFUSED:
                    raise
                _log.warning("router %s is left out until routers are told again: %s", router.endpoint, error)
                self._routers = tuple(each for each in self._routers if each is not router)
        connection = await super().open(host, observers, read_only=read_only)
        if not told:
            try:
                await self._ask(connection, host.endpoint.port)
            except BaseException:
                connection.abort()
                raise
        return connection

    async def _ask(self, connection: Connection, port: int) -> None:
        self._asked_at = asyncio.get_running_loop().time()
        try:
            self._routers = routers_of(await connection.fetch_all(QUESTION, (), _ASK_TIMEOUT), port)
        except DriverError as error:
            if error.failure is not Failure.REFUSED:
                raise
            _log.info("%s tells no routers; its own name is used: %s", connection.endpoint, error)
            self._routers = ()
