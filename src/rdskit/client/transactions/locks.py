"""Take and hold advisory locks, which the database releases when the connection ends."""

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

_PING_EVERY: Final = 1.0  # seconds between two pings of the connection that holds a lock
_PING_TIMEOUT: Final = 2.0  # seconds for the answer to each
_RELEASE_TIMEOUT: Final = 2.0  # seconds; then the pool resets the session, which releases as well
_LONGEST_WAIT: Final = 31_536_000  # seconds, a year: MariaDB has no unlimited wait (MySQL's is a negative timeout)

# The name is hashed. PostgreSQL's locks are numbers. MySQL's have names of at most 64 characters, ignore case, and are
# shared by all databases of the server. A database name cannot contain NUL, so each (database, lock) pair is a text
# of its own.
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
    """Return a lock name's number on PostgreSQL: 64 bits of its BLAKE2b hash."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)


async def take_lock(lease: Lease, dialect: Dialect, name: str, due: float, *, for_transaction: bool) -> None:
    """Take a lock on a connection.

    Args:
        lease: the connection.
        dialect: the server's.
        name: any text.
        due: until when to wait, on the loop's clock; infinite for no limit.
        for_transaction: PostgreSQL releases it with the transaction; elsewhere the caller has to reset the session.

    Raises:
        ConfigError: the name is empty.
        DriverError: with ``Failure.TIMEOUT`` if another session held it until ``due``.
    """
    if not name:
        raise ConfigError("an advisory lock needs a name")
    text = _TAKE[dialect, for_transaction]
    if dialect is Dialect.POSTGRES:
        await _fetch_lock_row(lease, text, [lock_number(name)], name, due)
        return
    left = due - asyncio.get_running_loop().time()
    # GET_LOCK takes whole seconds. Give one more: the call's own deadline ends it at the exact moment.
    row = await _fetch_lock_row(
        lease, text, [name, _LONGEST_WAIT if left > _LONGEST_WAIT else max(1, math.ceil(left) + 1)], name, due
    )
    # GET_LOCK returns 1 for success, 0 for a timeout, NULL for an error such as a killed thread.
    if row is not None and row[0] == 0:
        raise _held_error(name)
    if row is None or row[0] is None:
        raise DriverError(Failure.REFUSED, QueryError(f"the server could not take the lock {name!r}"))


@contextlib.asynccontextmanager
async def held_lock(lease: Lease, dialect: Dialect, name: str, due: float) -> AsyncIterator[None]:
    """Hold a lock for the length of a block.

    The connection is pinged every second. Without an answer, another session may hold the lock by now: the block is
    cancelled, and ends with ``FailoverError``.

    Raises:
        QueryTimeout: another session held it until ``due``.
        FailoverError: the connection was lost while the lock was held.
    """
    lease.dirty = True  # until `_release`: whatever fails before, the pool resets the session, which frees the lock
    try:
        await take_lock(lease, dialect, name, due, for_transaction=False)
    except DriverError as error:
        raise error.public from error.__cause__
    scope, left = asyncio.timeout(None), asyncio.Event()
    watch = asyncio.create_task(_ping_while_held(lease, scope, left), name=f"lock {name}")
    try:
        async with scope:
            yield
    except TimeoutError:
        if not scope.expired():
            raise
        raise _lost_error(lease, name) from None
    finally:
        left.set()
        await watch  # not cancelled: a ping that is cut off would cost the connection
    await _release(lease, dialect, name)


async def _release(lease: Lease, dialect: Dialect, name: str) -> None:
    argument = lock_number(name) if dialect is Dialect.POSTGRES else name
    due = asyncio.get_running_loop().time() + _RELEASE_TIMEOUT
    try:
        row = await lease.run(lease.connection.fetch_one(_RELEASE[dialect], [argument], None), due)
    except DriverError as error:
        raise _lost_error(lease, name) from error.__cause__
    if row is None or not row[0]:
        raise _lost_error(lease, name)
    lease.dirty = False


async def _ping_while_held(lease: Lease, scope: asyncio.Timeout, left: asyncio.Event) -> None:
    """Ping the connection until the block ends; cancel the block at the first ping without an answer."""
    while not await _is_set_within(left, _PING_EVERY):
        try:
            await lease.connection.ping(_PING_TIMEOUT)
        except DriverError:
            lease.connection.broken = True
            # `Timeout.reschedule` raises once the block has ended, which may happen during the ping.
            if not left.is_set():
                scope.reschedule(asyncio.get_running_loop().time())
            return


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _fetch_lock_row(lease: Lease, text: str, args: list[object], name: str, due: float) -> Row | None:
    try:
        return await lease.run(lease.connection.fetch_one(text, args, None), due)
    except DriverError as error:
        raise (_held_error(name) if error.failure is Failure.TIMEOUT else error) from error.__cause__


def _held_error(name: str) -> DriverError:
    message = f"the lock {name!r} is held by another session, and was not released before the deadline"
    return DriverError(Failure.TIMEOUT, QueryTimeout(message))


def _lost_error(lease: Lease, name: str) -> FailoverError:
    return FailoverError(
        f"the connection to {lease.connection.endpoint} that held the lock {name!r} was lost, and the lock with it: "
        "another session may have held it since"
    )
