"""A relay between client and server that cuts each connection after a random number of bytes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator


class CuttingRelay:
    """Passes connections on, and cuts each in the middle of what it says, in either direction.

    Attributes:
        port: where it listens.
        cuts: connections cut so far.
        cutting: whether new connections are to be cut.
    """

    def __init__(self, host: str, port: int, chance: random.Random, low: int, high: int) -> None:
        self._target = (host, port)
        self._chance = chance
        self._range = (low, high)
        self._links: set[asyncio.Task[None]] = set()
        self.port = 0
        self.cuts = 0
        self.cutting = True

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen for the length of the block."""
        listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            listener.close()
            for link in tuple(self._links):
                link.cancel()
            await asyncio.gather(*self._links, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        try:
            with contextlib.suppress(OSError):  # either side may go first
                await self._pass_on(reader, writer)
        finally:
            self._links.discard(link)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(*self._target)
        # One direction has a limit: the request is cut, or the answer to one that has arrived whole.
        limit = self._chance.randint(*self._range) if self.cutting else None
        forth, back = (limit, None) if self._chance.random() < 0.5 else (None, limit)
        try:
            pumps = [
                asyncio.ensure_future(self._pump(reader, ours, forth)),
                asyncio.ensure_future(self._pump(theirs, writer, back)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            ours.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, limit: int | None) -> None:
        passed = 0
        while data := await source.read(65536):
            if limit is not None and passed + len(data) >= limit:
                sink.write(data[: limit - passed])
                with contextlib.suppress(OSError):
                    await sink.drain()
                self.cuts += 1
                return
            passed += len(data)
            sink.write(data)
            await sink.drain()
