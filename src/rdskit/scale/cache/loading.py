"""Loads results: one load for all callers that miss, in this process and in the others.

A caller joins a load only if that sees every write acknowledged before the caller came. It does if the load read its
epochs after the caller came, or if it read the same epochs that the caller has just read.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rdskit.client import api
from rdskit.errors import RdskitError, StaleReadError
from rdskit.kernel.key_value import KeyValueError
from rdskit.scale.cache.codec import Shape, Uncacheable, decode_result, encode_result
from rdskit.scale.cache.model import NOT_KEPT, STORED
from rdskit.scale.cache.policy import is_valid, kept_for, position_to_load_at
from rdskit.scale.cache.store import LEASE, Found, Opened, Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rdskit.client.api import Database
    from rdskit.runtime.tasks import TaskOwner
    from rdskit.scale.cache.model import CacheStats

_POSITION_TIMEOUT: Final = 1.0  # seconds to learn the writer's position for an epoch
_ROUNDS: Final = 3  # loads of other processes that a load waits for, one after the other
_FIRST_PAUSE, _LAST_PAUSE = 0.004, 0.05  # seconds between two looks for the entry that another process loads
_log = logging.getLogger("rdskit.cache")


class Request(NamedTuple):
    """One call that the cache may answer.

    Attributes:
        key: of the entry; empty for a call that shares nothing with others.
        tables: canonical names of the tables that it depends on.
        generation: the id of the namespace's epoch under which those were found.
        shape: what the call returns.
        ttl: seconds for which the entry is kept at most.
        load: asks the database; it is given a token for ``after=``, or None.
    """

    key: bytes
    tables: tuple[bytes, ...]
    generation: bytes
    shape: Shape
    ttl: float
    load: Callable[[str | None], Awaitable[Any]]


class _Outcome(NamedTuple):
    """What a load gave.

    Attributes:
        packed: the value as bytes, of which each caller gets a copy; None where it has no exact form.
        value: the value itself where it has none.
        error: what the load raised.
        fresh: it came from a host that shows every write the epochs come after.
    """

    packed: bytes | None
    value: Any
    error: Exception | None = None
    fresh: bool = True

    def result(self, shape: Shape) -> Any:
        if self.error is not None:
            raise self.error
        return self.value if self.packed is None else decode_result(shape, self.packed)


class _Flight:
    """A load under way.

    Attributes:
        number: of the request that read its epochs; None before that was sent.
        stamp: of the epochs that it has read.
        task: does it.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.stamp: bytes | None = None
        self.task: asyncio.Task[_Outcome] | None = None

    def serves(self, found: Found) -> bool:
        """Whether it sees all that a caller must see that has just looked for the entry."""
        if self.number is None or self.number > found.number:
            return True
        return self.stamp is not None and self.stamp == found.stamp


class Loading:
    """Answers misses.

    Args:
        db: any view of the database.
        store: the entries.
        owner: of the tasks that load; a caller that is cancelled does not end them.
        stats: counts what happens.
        loads: queries of the cache that run at once in this process, at most.
        largest: bytes of an entry, at most.
    """

    def __init__(
        self, db: Database, store: Store, owner: TaskOwner, stats: CacheStats, loads: int, largest: int
    ) -> None:
        self._db = db
        self._store = store
        self._owner = owner
        self._stats = stats
        self._cap = asyncio.Semaphore(loads)
        self._largest = largest
        self._flights: dict[bytes, _Flight] = {}
        self._direct: dict[bytes, asyncio.Task[_Outcome]] = {}

    async def missed(self, request: Request, found: Found) -> Any:
        """Return the result of a call that found no valid entry.

        Args:
            request: the call.
            found: what it found.
        """
        if found.entry is not None and found.entry[:1] == NOT_KEPT and is_valid(found.entry, found.stamp):
            outcome = await self._load_capped(request, self._token(found))
            return outcome.result(request.shape)
        flight = self._flights.get(request.key)
        if flight is not None and flight.serves(found):
            self._stats.joined += 1
        else:
            flight = self._flights[request.key] = _Flight()
            flight.task = self._owner.spawn(self._fly(request, flight), "load")
            flight.task.add_done_callback(functools.partial(self._landed, request.key, flight))
        assert flight.task is not None
        return (await asyncio.shield(flight.task)).result(request.shape)

    async def direct(self, request: Request) -> Any:
        """Return the result of a call without the cache; callers of one key share a load that waits for its turn."""
        if not request.key:
            return (await self._load_capped(request, api.token_at(self._db, None))).result(request.shape)
        task = self._direct.get(request.key)
        if task is None:
            task = self._direct[request.key] = self._owner.spawn(self._load_directly(request), "load without the cache")
        return (await asyncio.shield(task)).result(request.shape)

    def _landed(self, key: bytes, flight: _Flight, _: object) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def _load_directly(self, request: Request) -> _Outcome:
        try:
            await self._cap.acquire()
        finally:
            self._direct.pop(request.key, None)  # from here on it may miss a write that is acknowledged now
        try:
            return await self._ask(request, api.token_at(self._db, None))
        finally:
            self._cap.release()

    async def _load_capped(self, request: Request, token: str) -> _Outcome:
        async with self._cap:
            return await self._ask(request, token)

    async def _fly(self, request: Request, flight: _Flight) -> _Outcome:
        try:
            for round_ in range(_ROUNDS):
                opening = self._store.open(request.key, request.tables)
                flight.number = opening.number
                opened = await self._store.opened(opening)
                flight.stamp = opened.found.stamp
                outcome = self._kept(request, opened.found)
                # Without a stamp the store is full, or evicts what it has just been given.
                keeps = flight.stamp is not None and opened.found.generation == request.generation
                if opened.leased and (outcome is not None or not keeps):
                    await self._store.let_go(request.key)
                if outcome is not None:
                    return outcome
                if not keeps:
                    break
                if opened.leased or round_ == _ROUNDS - 1:
                    return await self._load(request, opened)
                if (outcome := await self._waited(request)) is not None:
                    return outcome
        except KeyValueError as error:
            _log.info("a result is not cached: %s", error)
            self._stats.unavailable += 1
        return await self._load_capped(request, api.token_at(self._db, None))

    def _kept(self, request: Request, found: Found) -> _Outcome | None:
        """Return the entry if it is valid and holds a result."""
        stamp, entry = found.stamp, found.entry
        if found.generation != request.generation:
            return None
        if stamp is None or entry is None or entry[:1] != STORED or not is_valid(entry, stamp):
            return None
        return _Outcome(entry[1 + len(stamp) :], None)

    async def _waited(self, request: Request) -> _Outcome | None:
        """Wait for the process that holds the lease; None if it kept nothing that is valid."""
        pause = _FIRST_PAUSE
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LAST_PAUSE)
            found = await self._store.find(request.key, request.tables)
            if (outcome := self._kept(request, found)) is not None:
                self._stats.waited += 1
                return outcome
            if not await self._store.is_leased(request.key):
                return None

    async def _load(self, request: Request, opened: Opened) -> _Outcome:
        """Ask the database under the lease and keep the result."""
        renewing = self._owner.spawn(self._renew(request.key), "renew a lease")
        try:
            async with self._cap:
                if opened.made and api.routes_reads(self._db):
                    self._owner.spawn(self._attach(opened), "learn the position of an epoch")
                outcome = await self._ask(request, self._token(opened.found))
        finally:
            renewing.cancel()
        await self._keep(request, opened, outcome)
        return outcome

    async def _keep(self, request: Request, opened: Opened, outcome: _Outcome) -> None:
        stamp = opened.found.stamp
        assert stamp is not None
        try:
            if outcome.error is not None or not outcome.fresh:
                await self._store.let_go(request.key)
            else:
                result = outcome.packed
                fits = result is not None and len(result) <= self._largest
                entry = STORED + stamp + result if fits and result is not None else NOT_KEPT + stamp
                await self._store.keep(request.key, entry, kept_for(request.ttl, random.random()))  # noqa: S311 - jitter
                self._stats.stored += fits
        except KeyValueError as error:
            _log.info("a result is not cached: %s", error)

    def _token(self, found: Found) -> str:
        """Return what sends the load to a host that shows every write the epochs come after."""
        return api.token_at(self._db, position_to_load_at([epoch for epoch in found.epochs if epoch is not None]))

    async def _attach(self, opened: Opened) -> None:
        try:
            position = await api.writer_position(self._db, _POSITION_TIMEOUT)
            if position is not None:
                await self._store.attach(opened.made, position)
        except (KeyValueError, RdskitError) as error:
            _log.info("the position of an epoch is not known, so loads go to the writer: %s", error)

    async def _renew(self, key: bytes) -> None:
        with contextlib.suppress(KeyValueError):  # others then load too, which is no harm but their work
            while True:
                await asyncio.sleep(LEASE / 3000)
                await self._store.renew(key)

    async def _ask(self, request: Request, token: str) -> _Outcome:
        self._stats.loads += 1
        fresh = True
        try:
            try:
                value = await request.load(token)
            except StaleReadError:  # only readers are left, and none shows it: answer as the database would
                fresh, value = False, await request.load(None)
        except Exception as error:  # noqa: BLE001 - carried to every caller that waits for this load
            return _Outcome(None, None, error)
        try:
            return _Outcome(encode_result(request.shape, value), None, fresh=fresh)
        except Uncacheable as error:
            _log.info("a result is not cached: %s", error)
            return _Outcome(None, value)
