"""What one tenant may use at the same time."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from rdskit.errors import PoolTimeout
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Share:
    """A bound on the connections that one tenant uses at once; callers wait in order of arrival.

    Attributes:
        users: blocks of ``use`` that are open.
    """

    def __init__(self, tenant: str, most: int) -> None:
        """Begin with all of it free.

        Args:
            tenant: whose.
            most: connections at once.
        """
        self.users = 0
        self._tenant = tenant
        self._most = most
        self._free = asyncio.Semaphore(most)

    @contextlib.asynccontextmanager
    async def taken(self, timeout: float | None) -> AsyncIterator[Deadline]:
        """Take one connection's worth for the length of the block; yield the deadline for what follows.

        Args:
            timeout: seconds for the whole call; None for no limit.

        Raises:
            PoolTimeout: the tenant used all of it until the deadline.
        """
        deadline = Deadline.after(timeout)
        if self._free.locked():
            await self._wait(timeout)
        else:
            await self._free.acquire()  # returns at once
        try:
            yield deadline
        finally:
            self._free.release()

    async def _wait(self, timeout: float | None) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._free.acquire()
        except TimeoutError:
            raise PoolTimeout(
                f"tenant {self._tenant!r} has used its {self._most} connections (per_tenant=) for {timeout:g} s: in a "
                "transaction block use its transaction, send less at once, or raise per_tenant"
            ) from None


class Shares:
    """The shares of the tenants that are in use; the others cost nothing.

    Attributes:
        most: connections that each may use at once.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._shares: dict[str, Share] = {}

    def __len__(self) -> int:
        return len(self._shares)

    @contextlib.contextmanager
    def of(self, tenant: str) -> Iterator[Share]:
        """Yield the share of a tenant, and forget it after the last block that uses it.

        Args:
            tenant: its id.
        """
        share = self._shares.get(tenant)
        if share is None:
            share = self._shares[tenant] = Share(tenant, self.most)
        share.users += 1
        try:
            yield share
        finally:
            share.users -= 1
            if not share.users:
                del self._shares[tenant]
