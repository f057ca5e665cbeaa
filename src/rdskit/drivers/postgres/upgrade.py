"""asyncpg's request for TLS: its failure is always retrieved, and what is given up is cut at once.

A caller that gives up in the very moment in which the socket opens leaves the request behind: its future then gets an
error that no task awaits, and asyncio logs "Future exception was never retrieved".

A caller that gives up later has asyncpg close the connection, and over TLS asyncio waits for the server's close_notify
for up to 30 s (``ssl_shutdown_timeout``): a server that hangs sends none, and its socket would outlive the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from asyncpg import connect_utils

from rdskit.drivers.postgres.framing import Frames
from rdskit.drivers.postgres.passwords import REFUSAL, Encrypted, Guard
from rdskit.kernel.endpoints import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_asked: Final[ContextVar[list[Request] | None]] = ContextVar("rdskit_postgres_requests", default=None)


class Request(connect_utils.TLSUpgradeProto):  # type: ignore[misc]  # asyncpg ships no types
    """The protocol that asks for TLS and awaits the answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_data.add_done_callback(_hear)
        self._transport: Any = None  # below TLS: it can be cut without a word
        asked = _asked.get()
        if asked is not None:
            asked.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask from now on."""
        self._transport = transport

    def cut(self) -> None:
        """Drop the socket at once."""
        if self._transport is not None:
            self._transport.abort()


async def connect(*, cleartext_password: bool, **arguments: Any) -> Any:
    """Call ``asyncpg.connect``.

    Args:
        cleartext_password: the server may have the password in the clear.
        arguments: asyncpg's; ``ssl`` is a context or false.

    Raises:
        Exception: asyncpg's; ``InvalidAuthorizationSpecificationError`` if the server asked for the password so.
    """
    context = arguments["ssl"]
    verified = bool(context) and context.verify_mode is ssl.CERT_REQUIRED
    host = arguments.get("host")
    here = isinstance(host, str) and (host.startswith("/") or Endpoint(host, 0).is_loopback)
    loop = OwnLoop(
        asyncio.get_running_loop(),
        cleartext_password=cleartext_password or verified,
        frames=not (verified or here),
    )
    try:
        return await asyncpg.connect(loop=loop, **arguments)
    except Exception as error:
        if loop.asked_for_password:
            raise asyncpg.InvalidAuthorizationSpecificationError(REFUSAL) from error
        raise


class OwnLoop:
    """An event loop as asyncpg gets it for one connection of ours: requests for TLS that it opens are `Request`.

    asyncpg takes the loop as an argument and opens its sockets through it, and offers no other way to choose the
    protocol. A connection that the application opens with asyncpg itself uses the real loop, so nothing changes there.

    Args:
        loop: the real one.
        cleartext_password: the server may have the password in the clear.
        frames: the lengths of messages are looked at.

    Attributes:
        asked_for_password: it asked for it in the clear, and was cut off.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, cleartext_password: bool, frames: bool) -> None:
        self.real = loop
        self._guards = not cleartext_password
        self._frames = frames
        self.asked_for_password = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    async def create_connection(self, factory: Callable[[], Any], *args: Any, **options: Any) -> tuple[Any, Any]:
        """Open a socket like the loop does, with a `Request` where asyncpg would ask for TLS."""
        transport, made = await self.real.create_connection(
            functools.partial(self._protocol, factory), *args, **options
        )
        while isinstance(made, Guard | Frames):
            made = made.real
        return transport, made

    async def start_tls(self, transport: Any, *args: Any, **options: Any) -> Any:
        """Encrypt like the loop does; asyncpg then sets its protocol on the transport that it gets."""
        encrypted = await self.real.start_tls(transport, *args, **options)
        wraps = encrypted is not None and (self._guards or self._frames)
        return Encrypted(encrypted, self._wrapped) if wraps else encrypted

    def _protocol(self, factory: Callable[[], Any]) -> Any:
        made = factory()
        if isinstance(made, connect_utils.TLSUpgradeProto):
            return Request(made.on_data.get_loop(), made.host, made.port, made.ssl_context, made.ssl_is_advisory)
        return self._wrapped(made)

    def _wrapped(self, protocol: Any) -> Any:
        framed = Frames(protocol) if self._frames else protocol
        return Guard(framed, self._refuse) if self._guards else framed

    def _refuse(self) -> None:
        self.asked_for_password = True


@contextlib.contextmanager
def cut_when_given_up() -> Iterator[None]:
    """Cut what is opened within, if that ends by an error or is cancelled."""
    with _requests() as requests:
        try:
            yield
        except BaseException:
            _cut(requests)
            raise


@contextlib.contextmanager
def cut_afterwards() -> Iterator[None]:
    """Cut what is opened within and still open at the end."""
    with _requests() as requests:
        try:
            yield
        finally:
            _cut(requests)


@contextlib.contextmanager
def _requests() -> Iterator[list[Request]]:
    requests: list[Request] = []
    token = _asked.set(requests)
    try:
        yield requests
    finally:
        _asked.reset(token)


def _cut(requests: list[Request]) -> None:
    for request in requests:
        request.cut()


def _hear(answer: asyncio.Future[bool]) -> None:
    if not answer.cancelled():
        answer.exception()
