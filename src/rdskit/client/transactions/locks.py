"""Advisory locks: names that one holder at a time can have, kept by the database and released with the connection."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
from typing import TYPE_CHECKING, Final

from rdskit.errors import ConfigError, FailoverError, QueryError, QueryTimeout
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.client.pool import Lease
    from rdskit.kernel.ports import Row

_LOOK_EVERY: Final = 1.0  # seconds between two signs of life of the connection that holds a lock
_LOOK_TIMEOUT: Final = 2.0  # seconds for each
_RELEASE_TIMEOUT: Final = 2.0  # seconds; then the pool resets the session, which releases as well
_MOST: Final = 31_536_000  # seconds, a year: MariaDB refuses to wait without end

# The name is hashed: PostgreSQL's locks are numbers, and MySQL's names have 64 characters at most, no case, and are
# shared by all databases. No database's name holds a NUL, so no two pairs of database and lock give one text.
_MYSQL_NAME: Final = "concat('rdskit:', left(sha2(concat_ws(char(0), database(), ?), 256), 40))"
_TAKE: Final = {
    (Dialect.POSTGRES, False): "select pg_advisory_lock($1)",
    (Dialect.POSTGRES, True): "select pg_advisory_xact_lock($1)",
    (Dialect.MYSQL, False): f"select get_lock({_MYSQL_NAME}, ?)",
    (Dialect.MYSQL, True): f"select get_lock({_MYSQL_NAME}, ?)",
}
_RELEASE: Final = {
    Dialect.POSTGRES: "select pg_advisory_unlock($1)",
    Dialect.MYSQL: f"select release_lock({_MYSQL_NAME})",
}


def lock_number(name: str) -> int:
    """The number of a name on PostgreSQL, from 64 bits of its BLAKE2b hash."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)


async def take_lock(lease: Lease, dialect: Dialect, name: str, due: float, *, for_transaction: bool) -> None:
    """Take a lock on a connection.

    Args:
        lease: the connection.
        dialect: the server's.
        name: any text.
        due: until when to wait, on the loop's clock; infinite for no limit.
        for_transaction: PostgreSQL releases it with the transaction; elsewhere the session is to be reset.

    Raises:
        ConfigError: the name is empty.
        DriverError: with ``Failure.TIMEOUT`` when somebody else held it until ``due``.
    """
    if not name:
        raise ConfigError("an advisory lock needs a name")
    text = _TAKE[dialect, for_transaction]
    if dialect is Dialect.POSTGRES:
        await _taken(lease, text, [lock_number(name)], name, due)
        return
    left = due - asyncio.get_running_loop().time()
    # Whole seconds and one to spare: the exact moment is kept by the call's own deadline.
    row = await _taken(lease, text, [name, _MOST if left > _MOST else max(1, math.ceil(left) + 1)], name, due)
    if row is not None and row[0] == 0:
        raise _held(name)
    if row is None or row[0] is None:
        raise DriverError(Failure.REFUSED, QueryError(f"the server could not take the lock {name!r}"))


@contextlib.asynccontextmanager
async def held_lock(lease: Lease, dialect: Dialect, name: str, due: float) -> AsyncIterator[None]:
    """Hold a lock for the length of the block.

    The connection gives a sign of life every second. When it does not, somebody else may have the lock by then: the
    block is cancelled, and ends with ``FailoverError``.

    Raises:
        QueryTimeout: somebody else held it until ``due``.
        FailoverError: the connection was lost while the lock was held.
    """
    lease.dirty = True  # until it is released, whatever happens: the pool resets the session, and that releases it
    try:
        await take_lock(lease, dialect, name, due, for_transaction=False)
    except DriverError as error:
        raise error.public from error.__cause__
    scope, left = asyncio.timeout(None), asyncio.Event()
    watch = asyncio.create_task(_watch(lease, scope, left), name=f"lock {name}")
    try:
        async with scope:
            yield
    except TimeoutError:
        if not scope.expired():
            raise
        raise _lost(lease, name) from None
    finally:
        left.set()
        await watch  # never cancelled: a sign of life that is cut off would cost the connection
    await _release(lease, dialect, name)


async def _release(lease: Lease, dialect: Dialect, name: str) -> None:
    argument = lock_number(name) if dialect is Dialect.POSTGRES else name
    due = asyncio.get_running_loop().time() + _RELEASE_TIMEOUT
    try:
        row = await lease.run(lease.connection.fetch_one(_RELEASE[dialect], [argument], None), due)
    except DriverError as error:
        raise _lost(lease, name) from error.__cause__
    if row is None or not row[0]:
        raise _lost(lease, name)
    lease.dirty = False


async def _watch(lease: Lease, scope: asyncio.Timeout, left: asyncio.Event) -> None:
    """End the scope as soon as the connection gives no sign of life."""
    while not await _happens(left, _LOOK_EVERY):
        try:
            await lease.connection.ping(_LOOK_TIMEOUT)
        except DriverError:
            lease.connection.broken = True
            if not left.is_set():
                scope.reschedule(asyncio.get_running_loop().time())
            return


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _taken(lease: Lease, text: str, args: list[object], name: str, due: float) -> Row | None:
    try:
        return await lease.run(lease.connection.fetch_one(text, args, None), due)
    except DriverError as error:
        raise (_held(name) if error.failure is Failure.TIMEOUT else error) from error.__cause__


def _held(name: str) -> DriverError:
    message = f"the lock {name!r} is held by somebody else, and did not come free before the deadline"
    return DriverError(Failure.TIMEOUT, QueryTimeout(message))


def _lost(lease: Lease, name: str) -> FailoverError:
    return FailoverError(
        f"the connection to {lease.connection.endpoint} that held the lock {name!r} was lost, and the lock with it: "
        "somebody else may have had it meanwhile"
    )
