"""Control asyncpg's TLS upgrade: its failure is always retrieved, and an abandoned connection is aborted at once.

A caller may be cancelled at the moment when the socket opens, and leaves the TLS request behind. Its future then gets
an exception that no task awaits, and asyncio logs "Future exception was never retrieved".

A caller that is cancelled later makes asyncpg close the connection. Over TLS asyncio then waits for the server's
close_notify for up to 30 s (``ssl_shutdown_timeout``). A server that hangs sends none, and its socket would outlive the
event loop.
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

_requests_in_scope: Final[ContextVar[list[Request] | None]] = ContextVar("rdskit_postgres_requests", default=None)


class Request(connect_utils.TLSUpgradeProto):  # type: ignore[misc]  # asyncpg ships no types
    """Protocol that requests TLS and awaits the server's one-byte answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_data.add_done_callback(_retrieve_exception)
        self._transport: Any = None  # the transport below TLS: aborting it sends no close_notify
        requests = _requests_in_scope.get()
        if requests is not None:
            requests.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport; asyncpg writes the request to it."""
        self._transport = transport

    def abort(self) -> None:
        """Drop the socket at once."""
        if self._transport is not None:
            self._transport.abort()


async def connect(*, cleartext_password: bool, **arguments: Any) -> Any:
    """Call ``asyncpg.connect`` with guards for unverified servers.

    Args:
        cleartext_password: send the password in the clear, if the server asks for it.
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
    """Wrap the event loop for one connection of asyncpg's, so that its TLS requests use `Request`.

    asyncpg takes the loop as an argument and opens its sockets through it. It offers no other way to choose the
    protocol. Connections that the application opens with asyncpg itself use the real loop and do not change.

    Args:
        loop: the real one.
        cleartext_password: send the password in the clear, if the server asks for it.
        frames: check the lengths of messages.

    Attributes:
        asked_for_password: the server asked for the password in the clear, and the connection was aborted.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, cleartext_password: bool, frames: bool) -> None:
        self.real = loop
        self._guards = not cleartext_password
        self._frames = frames
        self.asked_for_password = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    async def create_connection(self, factory: Callable[[], Any], *args: Any, **options: Any) -> tuple[Any, Any]:
        """Open a socket as the real loop does, with `Request` as the protocol where asyncpg requests TLS."""
        transport, made = await self.real.create_connection(
            functools.partial(self._protocol, factory), *args, **options
        )
        while isinstance(made, Guard | Frames):
            made = made.real
        return transport, made

    async def start_tls(self, transport: Any, *args: Any, **options: Any) -> Any:
        """Start TLS as the real loop does; asyncpg then sets its protocol on the transport that it receives."""
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
def abort_on_error() -> Iterator[None]:
    """Abort connections that are opened in the block, if it ends by an error or is cancelled."""
    with _requests() as requests:
        try:
            yield
        except BaseException:
            _abort_all(requests)
            raise


@contextlib.contextmanager
def abort_at_exit() -> Iterator[None]:
    """Abort connections that are opened in the block and still open at its end."""
    with _requests() as requests:
        try:
            yield
        finally:
            _abort_all(requests)


@contextlib.contextmanager
def _requests() -> Iterator[list[Request]]:
    requests: list[Request] = []
    token = _requests_in_scope.set(requests)
    try:
        yield requests
    finally:
        _requests_in_scope.reset(token)


def _abort_all(requests: list[Request]) -> None:
    for request in requests:
        request.abort()


def _retrieve_exception(answer: asyncio.Future[bool]) -> None:
    if not answer.cancelled():
        answer.exception()
