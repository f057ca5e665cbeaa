"""The load of one contender, in a process of its own that the benchmark steers over its standard streams.

It is given an :class:`Entrance` as JSON on the command line, says how far it is on standard output, a JSON object a
line, and receives ``stop`` and ``exit`` on standard input. Its journal goes into a file.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from failover_figures import Journal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from failover_contenders import Contender

PAUSE: Final = 0.05  # seconds between the writes of one writer
_TELL_EVERY: Final = 0.05
_END: Final = 20.0  # seconds in which writers end and connections are closed


@dataclass(frozen=True, slots=True)
class Entrance:
    """What a load needs to know.

    Attributes:
        contender: of ``failover_contenders.CONTENDERS``.
        writers: connections and writers.
        cluster: identifier.
        endpoint: name of the cluster endpoint.
        port: of every endpoint.
        pattern: name of an instance endpoint, with ``?`` for the identifier.
        addresses: of those names.
        user: who logs in.
        password: of the user.
        database: which.
        journal: where to write it.
    """

    contender: str
    writers: int
    cluster: str
    endpoint: str
    port: int
    pattern: str
    addresses: Mapping[str, str]
    user: str
    password: str
    database: str
    journal: str


class Load:
    """Writers that write until they receive ``stop``.

    Args:
        contender: on which they write.
        writers: how many.
    """

    def __init__(self, contender: Contender, writers: int) -> None:
        self._contender = contender
        self._keys = itertools.count()
        self._over = asyncio.Event()
        self._acknowledged: list[tuple[int, int, float]] = []
        self._errors: list[tuple[float, str]] = []
        self._latest = [0.0] * writers

    async def run(self) -> None:
        """Write until :meth:`stop`."""
        await asyncio.gather(*(self._write(number) for number in range(len(self._latest))))

    def stop(self) -> None:
        """Write no more."""
        self._over.set()

    @property
    def slowest(self) -> float:
        """When the writer that waits the longest was acknowledged a write; 0 before it was."""
        return min(self._latest)

    def journal(self) -> Journal:
        """Return what was observed so far."""
        return Journal(self._acknowledged, self._errors, self._contender.attempts, time.monotonic())

    async def _write(self, writer: int) -> None:
        while not self._over.is_set():
            key = next(self._keys)
            try:
                await self._contender.write(writer, key)
            except Exception as error:  # noqa: BLE001 - whatever the application sees is what is counted
                await self._recover(writer, error)
            else:
                self._latest[writer] = time.monotonic()
                self._acknowledged.append((writer, key, self._latest[writer]))
            await asyncio.sleep(PAUSE)

    async def _recover(self, writer: int, error: Exception | None) -> None:
        while error is not None and not self._over.is_set():
            self._errors.append((time.monotonic(), type(error).__name__))
            try:
                await self._contender.recover(writer, error)
            except Exception as again:  # noqa: BLE001 - as above
                error = again
            else:
                error = None


async def measure(entrance: Entrance) -> None:
    """Open, write until told to stop, close, and wait until told to exit."""
    from failover_contenders import CONTENDERS

    contender: Contender = CONTENDERS[entrance.contender](entrance)
    orders = await _orders()
    await contender.open(entrance.writers)
    load = Load(contender, entrance.writers)
    running = asyncio.ensure_future(load.run())
    telling = asyncio.ensure_future(_tell_progress(load))
    await _told(orders, "stop")
    # Before anything is closed: what was seen is not lost with a contender that hangs there.
    await asyncio.to_thread(Path(entrance.journal).write_text, json.dumps(asdict(load.journal())))
    load.stop()
    ended = await _ended(running, contender)
    telling.cancel()
    _say(closed=ended)
    await _told(orders, "exit")


async def _ended(running: asyncio.Future[None], contender: Contender) -> bool:
    """Whether writers and connections came to an end in time."""
    try:
        async with asyncio.timeout(_END):
            await running
            await contender.close()
    except TimeoutError:
        return False
    return True


async def _tell_progress(load: Load) -> None:
    while True:
        _say(slowest=load.slowest)
        await asyncio.sleep(_TELL_EVERY)


def _say(**told: Any) -> None:
    print(json.dumps(told), flush=True)


async def _orders() -> asyncio.StreamReader:
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    return orders


async def _told(orders: asyncio.StreamReader, order: str) -> None:
    while line := await orders.readline():
        if line.decode().strip() == order:
            return
    os._exit(1)  # the controlling process is gone, and a contender's threads may hang


def main() -> None:
    """Measure, and leave without waiting for threads that a contender may have left hanging."""
    asyncio.run(measure(Entrance(**json.loads(sys.argv[1]))))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
