"""A relay between client and server that cuts each connection after a random number of bytes, or at a COMMIT then."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Coroutine

_COMMIT = re.compile(rb"\bcommit\b", re.IGNORECASE)


class Link(NamedTuple):
    """Both ends of a connection that is passed on."""

    request: asyncio.StreamReader
    answer: asyncio.StreamReader
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter


class CuttingRelay:
    """Passes connections on, and cuts each in the middle of what it says, in either direction.

    Few bytes are a COMMIT's, and chance alone hits one in some hundred transactions. So half of the connections are cut
    at the first COMMIT after their number of bytes: it is not passed on, or its answer is not.

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
        aimed = self._chance.random() < 0.5
        try:
            if limit is not None and aimed:
                await self._cut_at_commit(Link(reader, theirs, writer, ours), limit, answered=forth is None)
            else:
                await _first_of(self._pump(reader, ours, forth), self._pump(theirs, writer, back))
        finally:
            ours.transport.abort()

    async def _cut_at_commit(self, link: Link, limit: int, *, answered: bool) -> None:
        """Pass on until a COMMIT after ``limit`` bytes; then it, or the answer to it, goes nowhere."""
        committing = asyncio.Event()
        await _first_of(
            self._until_commit(link, limit, committing, answered=answered), self._until_answer(link, committing)
        )

    async def _until_commit(self, link: Link, limit: int, committing: asyncio.Event, *, answered: bool) -> None:
        passed = 0
        while data := await link.request.read(65536):
            passed += len(data)
            if passed >= limit and _COMMIT.search(data):
                self.cuts += 1
                if not answered:
                    return
                committing.set()
            link.server.write(data)
            await link.server.drain()

    async def _until_answer(self, link: Link, committing: asyncio.Event) -> None:
        while data := await link.answer.read(65536):
            if committing.is_set():
                return
            link.client.write(data)
            await link.client.drain()

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


async def _first_of(*pumps: Coroutine[object, object, None]) -> None:
    """Run them until one is over."""
    tasks = [asyncio.ensure_future(pump) for pump in pumps]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
