"""asyncpg's request for TLS, whose failure always has somebody who hears it.

A caller who gives up in the very moment in which the socket opens leaves the request behind: its future then gets an
error that nobody awaits, and asyncio logs "Future exception was never retrieved" for a connection that nobody wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncpg import connect_utils

if TYPE_CHECKING:
    import asyncio


class Request(connect_utils.TLSUpgradeProto):  # type: ignore[misc]  # asyncpg ships no types
    """The protocol that asks for TLS and awaits the answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_data.add_done_callback(_hear)


def install() -> None:
    """Have asyncpg use it: it offers no other way to choose the protocol."""
    connect_utils.TLSUpgradeProto = Request


def _hear(answer: asyncio.Future[bool]) -> None:
    if not answer.cancelled():
        answer.exception()
