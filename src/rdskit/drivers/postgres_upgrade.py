"""asyncpg's request for TLS: its failure is always retrieved, and what is given up is cut at once.

A caller that gives up in the very moment in which the socket opens leaves the request behind: its future then gets an
error that no task awaits, and asyncio logs "Future exception was never retrieved".

A caller that gives up later has asyncpg close the connection, and over TLS asyncio waits for the server's close_notify
for up to 30 s (``ssl_shutdown_timeout``): a server that hangs sends none, and its socket would outlive the event loop.
"""

from __future__ import annotations

import contextlib
import functools
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from asyncpg import connect_utils

if TYPE_CHECKING:
    import asyncio
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


class OwnLoop:
    """An event loop as asyncpg gets it for one connection of ours: requests for TLS that it opens are `Request`.

    asyncpg takes the loop as an argument and opens its sockets through it, and offers no other way to choose the
    protocol. A connection that the application opens with asyncpg itself uses the real loop, so nothing changes there.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.real = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    async def create_connection(self, factory: Callable[[], Any], *args: Any, **options: Any) -> tuple[Any, Any]:
        """Open a socket like the loop does, with a `Request` where asyncpg would ask for TLS."""
        return await self.real.create_connection(functools.partial(_protocol, factory), *args, **options)


def _protocol(factory: Callable[[], Any]) -> Any:
    made = factory()
    if not isinstance(made, connect_utils.TLSUpgradeProto):
        return made
    return Request(made.on_data.get_loop(), made.host, made.port, made.ssl_context, made.ssl_is_advisory)


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
