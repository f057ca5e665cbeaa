"""Databases of tenants that cannot share connections: a few are open at once, the others are opened when needed."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from rdskit.errors import ConfigError, PoolTimeout
from rdskit.runtime.periodic import every
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from rdskit.client.api import Database

_CLOSE_TIMEOUT: Final = 10.0  # seconds for databases that are being closed when all of it ends


class _Opened:
    """The database of one tenant.

    Attributes:
        database: resolves when it is open, or with the error.
        users: blocks that use it.
        idle_since: when the last block ended, on the loop's clock.
        leaving: no other block gets it; it is closed after the last one.
    """

    def __init__(self, database: asyncio.Task[Database | Exception]) -> None:
        self.database = database
        self.users = 0
        self.idle_since = 0.0
        self.leaving = False


class _Waiter:
    """A caller without a database.

    Attributes:
        tenant: whose database it wants.
        given: resolves with that, or with None when there is room to open it.
    """

    def __init__(self, tenant: str, given: asyncio.Future[_Opened | None]) -> None:
        self.tenant = tenant
        self.given = given


class DatabasePools:
    """Keeps at most ``most`` databases open. Single-threaded: each decision is made between two awaits."""

    def __init__(self, most: int, idle: float, open_one: Callable[[str], Awaitable[Database]]) -> None:
        """Begin with none.

        Args:
            most: databases open at once, those that are being opened or closed included.
            idle: seconds after which one that no block uses is closed.
            open_one: opens the database of a tenant.
        """
        self._most = most
        self._idle = idle
        self._open_one = open_one
        self._loop = asyncio.get_running_loop()
        self._opened: OrderedDict[str, _Opened] = OrderedDict()  # the one that was used last is the last
        self._closing = 0
        self._waiting: deque[_Waiter] = deque()
        self._tasks = TaskOwner("tenants")
        self._closed = False
        self.evicted = 0
        self._closing_idle = self._tasks.spawn(
            every(max(idle / 2, 0.05), self._close_idle, asyncio.Event()), "close idle databases"
        )

    def __len__(self) -> int:
        return len(self._opened) + self._closing

    @property
    def open(self) -> tuple[str, ...]:
        """Return the ids of the tenants whose databases are open, the one that was used last at the end."""
        return tuple(self._opened)

    @contextlib.asynccontextmanager
    async def use(self, tenant: str, timeout: float | None) -> AsyncIterator[Database]:
        """Yield the database of a tenant; it stays open until the block ends.

        Args:
            tenant: its id.
            timeout: seconds to wait for room.

        Raises:
            PoolTimeout: as many databases as may be open were in use all the time.
            RdskitError: it could not be opened.
        """
        entry = await self._take(tenant, timeout)
        try:
            # The task goes on when this caller is cancelled: others may wait for the same database.
            found = await asyncio.shield(entry.database)
            if isinstance(found, Exception):
                self._forget(tenant, entry)
                raise found
            yield found
        finally:
            self._release(tenant, entry)

    async def drop(self, tenant: str) -> None:
        """Close a tenant's database once no block uses it; the next block opens it again, with what holds then.

        Args:
            tenant: its id.
        """
        entry = self._opened.get(tenant)
        if entry is not None:
            entry.leaving = True
            self._settle(tenant, entry)

    async def close(self) -> None:
        """Close all databases, those in use included."""
        self._closed = True
        self._closing_idle.cancel()
        for waiter in self._waiting:
            if not waiter.given.done():
                waiter.given.set_exception(_closed())
        for tenant, entry in tuple(self._opened.items()):
            self._begin_close(tenant, entry)
        await self._tasks.join(_CLOSE_TIMEOUT)
        await self._tasks.close()

    # -- room ------------------------------------------------------------------------------------------------------

    async def _take(self, tenant: str, timeout: float | None) -> _Opened:
        try:
            async with asyncio.timeout(timeout):
                return await self._have(tenant)
        except TimeoutError:
            raise PoolTimeout(
                f"no database could be opened for tenant {tenant!r} within {timeout:g} s: {self._most} may be open and "
                "all are in use; raise max_connections, or end blocks of use() sooner"
            ) from None

    async def _have(self, tenant: str) -> _Opened:
        waited = False
        while True:
            if self._closed:
                raise _closed()
            entry = self._opened.get(tenant)
            if entry is not None and not entry.leaving:
                entry.users += 1
                self._opened.move_to_end(tenant)
                if waited:
                    self._wake()  # the room that this caller did not need
                return entry
            if entry is None and len(self) < self._most and (waited or not self._waiting):
                return self._enter(tenant)
            given = await self._wait(tenant)
            if given is not None:
                return given
            waited = True

    def _enter(self, tenant: str) -> _Opened:
        """Begin to open a database, for all who wait for it."""
        entry = self._opened[tenant] = _Opened(self._tasks.spawn(self._open(tenant), "open"))
        entry.users = 1
        for waiter in [waiter for waiter in self._waiting if waiter.tenant == tenant]:
            self._waiting.remove(waiter)
            if not waiter.given.done():
                entry.users += 1
                waiter.given.set_result(entry)
        self._make_room()
        return entry

    async def _wait(self, tenant: str) -> _Opened | None:
        """Wait for a tenant's database, or for room to open it, which is None."""
        waiter = _Waiter(tenant, self._loop.create_future())
        self._waiting.append(waiter)
        self._make_room()
        try:
            return await waiter.given
        except asyncio.CancelledError:
            if waiter.given.done() and not waiter.given.cancelled():  # handed over in the moment of the cancellation
                given = waiter.given.result()
                if given is None:
                    self._wake()
                else:
                    self._release(tenant, given)
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(waiter)

    def _release(self, tenant: str, entry: _Opened) -> None:
        entry.users -= 1
        entry.idle_since = self._loop.time()
        self._make_room()
        self._settle(tenant, entry)

    def _make_room(self) -> None:
        """Have as many databases leave as tenants are waited for: first those that no block uses."""
        if not self._waiting:
            return
        wanted = len({waiter.tenant for waiter in self._waiting})
        leaving = self._closing + sum(entry.leaving for entry in self._opened.values())
        staying = [(tenant, entry) for tenant, entry in self._opened.items() if not entry.leaving]
        staying.sort(key=lambda each: each[1].users > 0)  # stable: the one that was used longest ago is first
        for tenant, entry in staying[: max(0, wanted - leaving)]:
            entry.leaving = True
            self._settle(tenant, entry)

    def _settle(self, tenant: str, entry: _Opened) -> None:
        if entry.leaving and not entry.users and self._opened.get(tenant) is entry:
            self.evicted += 1
            self._begin_close(tenant, entry)

    def _forget(self, tenant: str, entry: _Opened) -> None:
        """Leave out a database that could not be opened."""
        if self._opened.get(tenant) is entry:
            del self._opened[tenant]
            self._wake()

    def _wake(self) -> None:
        """Tell the caller that waits longest that there is room."""
        while self._waiting and len(self) < self._most:
            waiter = self._waiting.popleft()
            if not waiter.given.done():
                waiter.given.set_result(None)
                return

    # -- opening and closing ---------------------------------------------------------------------------------------

    async def _open(self, tenant: str) -> Database | Exception:
        try:
            return await self._open_one(tenant)
        except Exception as error:  # noqa: BLE001 - carried to every caller that waits for it
            return error

    def _begin_close(self, tenant: str, entry: _Opened) -> None:
        del self._opened[tenant]
        self._closing += 1
        self._tasks.spawn(self._close(entry), "close")

    async def _close(self, entry: _Opened) -> None:
        try:
            found = await entry.database
            if not isinstance(found, Exception):
                await found.close()
        finally:
            self._closing -= 1
            self._wake()

    async def _close_idle(self) -> None:
        latest = self._loop.time() - self._idle
        for tenant, entry in tuple(self._opened.items()):
            if not entry.users and entry.database.done() and entry.idle_since <= latest:
                self._begin_close(tenant, entry)


def _closed() -> ConfigError:
    return ConfigError("these tenants are closed: make another Tenants")
