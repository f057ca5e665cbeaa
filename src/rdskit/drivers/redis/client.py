"""A connection to Redis or Valkey that replaces itself, and knows which server process is at the other end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from typing import TYPE_CHECKING, Any, Final

from rdskit.drivers.redis.connection import Connection
from rdskit.kernel.backoff import OutageBackoff
from rdskit.kernel.key_value import Command, KeyValueError, KeyValueRefused, KeyValueUnreachable
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rdskit.drivers.redis.address import RedisAddress

_CONNECT_TIMEOUT: Final = 2.0  # seconds for TCP, TLS, login and the first question
_RECONNECT: Final = OutageBackoff(share=0.1, floor=0.02, cap=1.0)
_log = logging.getLogger("rdskit.redis")


class Redis:
    """The store of one server: implements ``kernel.key_value.KeyValueStore``.

    In cluster mode all keys of a user must be in one hash slot: the client asks for the node of ``probe`` and stays
    there. A server that is a replica is not used.

    Args:
        address: the server.
        timeout: seconds after which a request fails that was not answered.
        silence: seconds without an answer after which the server counts as away.
        probe: a key of the slot that is used.
    """

    def __init__(self, address: RedisAddress, *, timeout: float, silence: float, probe: bytes) -> None:
        self._address = self._configured = address
        self._timeout = timeout
        self._silence = silence
        self._probe = probe
        self._connection: Connection | None = None
        self._before = 0  # requests of earlier connections
        self._server: bytes | None = None
        self._changed = asyncio.Event()
        self._outage: list[Callable[[str], None]] = []
        self._connect: list[Callable[[], None]] = []
        self._owner = TaskOwner(f"redis {address}")
        self._owner.spawn(self._stay_connected(), "stay connected")

    def __repr__(self) -> str:
        return f"{self._address}"

    @property
    def server(self) -> bytes | None:
        """The ``run_id`` of the server process; None without a connection."""
        return self._server

    @property
    def sent(self) -> int:
        """Number of requests sent so far."""
        return self._before + (self._connection.sent if self._connection else 0)

    def request(self, command: Command) -> Awaitable[Any]:
        """Send one command and return its reply; errors as for the port."""
        if self._connection is None:
            raise KeyValueUnreachable(f"there is no connection to the cache at {self._address}")
        return self._connection.request(command)

    def pipeline(self, commands: Sequence[Command]) -> Awaitable[list[Any]]:
        """Send commands together and return their replies; errors as for the port."""
        if self._connection is None:
            raise KeyValueUnreachable(f"there is no connection to the cache at {self._address}")
        return self._connection.pipeline(commands)

    async def connected(self, timeout: float) -> bool:
        """Wait for a connection, at most ``timeout`` seconds, and return whether there is one."""
        if self._connection is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._changed.wait()
        return self._connection is not None

    def on_outage(self, function: Callable[[str], None]) -> None:
        """Have a function called when the connection is lost or silent."""
        self._outage.append(function)

    def on_connect(self, function: Callable[[], None]) -> None:
        """Have a function called after each connection is set up."""
        self._connect.append(function)

    async def close(self) -> None:
        """Close the connection and open no other."""
        await self._owner.close()

    def reconnect(self) -> None:
        """Replace the connection: the server has become a replica, for example."""
        if self._connection is not None:
            self._connection.abort()

    # -- the connection --------------------------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        clock = asyncio.get_running_loop().time
        lost_at, logged = clock(), ""
        while True:
            connection = Connection(self._silence, lambda: self._is_away("it does not answer"))
            try:
                server = await self._open(connection)
            except (OSError, TimeoutError, KeyValueError) as error:
                connection.abort()
                self._address = self._configured
                logged = self._log_once(error, logged)
                self._changed.set()  # a caller that waits for the first attempt need not wait for the others
                self._changed.clear()
                await asyncio.sleep(_RECONNECT.delay(clock() - lost_at, random.random()))  # noqa: S311 - jitter
                continue
            except BaseException:
                connection.abort()
                raise
            if server is None:  # another node of the cluster has the slot
                connection.abort()
                continue
            logged, connection.timeout = "", self._timeout
            self._begin(connection, server)
            try:
                await connection.lost
            finally:
                self._end(connection)
                connection.abort()
            lost_at = clock()
            self._is_away("the connection was lost")

    def _begin(self, connection: Connection, server: bytes) -> None:
        self._connection, self._server = connection, server
        self._before -= connection.sent  # the set-up is not counted
        self._changed.set()
        for function in self._connect:
            function()

    def _end(self, connection: Connection) -> None:
        self._before += connection.sent
        self._connection, self._server = None, None
        self._changed.clear()

    def _is_away(self, reason: str) -> None:
        for function in self._outage:
            function(reason)

    def _log_once(self, error: BaseException, logged: str) -> str:
        text = f"{type(error).__name__}: {error}"
        if text != logged:
            _log.warning("no connection to the cache at %s (%s): reads go to the database", self._address, text)
        return text

    async def _open(self, connection: Connection) -> bytes | None:
        """Connect and log in; return the server's id, or None if another node has the keys."""
        address = self._address
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            tls = ssl.create_default_context() if address.tls else None
            await asyncio.get_running_loop().create_connection(lambda: connection, address.host, address.port, ssl=tls)
            if address.password is not None:
                user = () if address.user is None else (address.user,)
                await connection.request(("auth", *user, address.password))
            if address.database:
                await connection.request(("select", address.database))
            about = _fields(await connection.request(("info",)))
            if about.get("role") != "master":
                raise KeyValueRefused("the server is a replica: give the address of the primary")
            if about.get("cluster_enabled") == "1" and (node := await _moved(connection, self._probe)):
                self._address = address.moved(*node)
                return None
        if not about.get("run_id"):
            raise KeyValueRefused("the server tells no run_id in INFO, so a restart could not be noticed")
        return about["run_id"].encode()


async def _moved(connection: Connection, probe: bytes) -> tuple[str, int] | None:
    """Return the node that has the slot of a key, if it is another one than this."""
    try:
        await connection.request(("get", probe))
    except KeyValueRefused as refused:
        words = str(refused).split()
        if words[:1] != ["MOVED"]:
            raise
        host, _, port = words[2].rpartition(":")
        return host, int(port)
    return None


def _fields(info: bytes) -> dict[str, str]:
    """Return the fields of INFO."""
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines() if ":" in line)
    return {name: value.strip() for name, _, value in lines}
