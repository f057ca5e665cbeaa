"""asyncpg's connection and row, with what ours need besides."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import asyncpg
from asyncpg import connect_utils

from rdskit.drivers import postgres_upgrade

_RESET_USER = "set session authorization default;"  # first: it takes back SET ROLE too, and what follows needs no other
_RESET_REST = "discard temp;\ndiscard sequences;"
_CANCEL_WITHIN = 2.0  # seconds for a request to cancel


class Raw(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """asyncpg's connection, which remembers types and can ask for what it runs to be canceled."""

    __slots__ = ("types",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        #: What was found out about types that are made of others, by oid.
        self.types: dict[int, Any] = {}

    async def _introspect_types(self, typeoids: Any, timeout: float | None) -> Any:
        found = await super()._introspect_types(typeoids, timeout)
        self.types.update((each["oid"], each) for each in found[0])
        return found

    def get_reset_query(self) -> str:
        """Return the statements that take a session back to its beginning, prepared statements excepted.

        RESET ALL leaves role, session user and the state of ``random()``. Source: PostgreSQL manual, "DISCARD".
        """
        seed = random.SystemRandom().uniform(-1, 1)
        return f"{_RESET_USER}\n{super().get_reset_query()}\n{_RESET_REST}\nselect pg_catalog.setseed({seed!r});"

    async def request_cancel(self) -> None:
        """Ask the server over a connection of its own to cancel what runs; it closes that when it has passed it on."""
        protocol = self._protocol
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            async with asyncio.timeout(_CANCEL_WITHIN):
                with postgres_upgrade.cut_afterwards():
                    await connect_utils._cancel(  # noqa: SLF001 - asyncpg sends it only when the caller is cancelled
                        loop=self._loop,
                        addr=self._addr,
                        params=self._params,
                        backend_pid=protocol.backend_pid,
                        backend_secret=protocol.backend_secret,
                    )

    async def _cancel(self, *waiters: Any) -> None:
        try:
            with postgres_upgrade.cut_afterwards():
                await super()._cancel(*waiters)
        finally:
            self._forget_current()

    def _clean_tasks(self) -> None:
        self._forget_current()  # a cancellation that ends the connection must not cancel itself
        super()._clean_tasks()

    def _forget_current(self) -> None:
        """Do what asyncpg does with ``current_task(self._loop)``, which knows no task of a loop that is wrapped."""
        self._cancellations.discard(asyncio.current_task(self._loop.real))
