"""The entries and epochs of one namespace in Redis or Valkey.

An epoch is a random id and, once it is known, a position of the writer's log. Deleting an epoch invalidates every entry
that depends on it, and an epoch that the server evicts does the same. All keys hold the id of the server process: what
a restart or a failover of the cache brings back from a snapshot is never looked at.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rdskit.kernel.key_value import KeyValueError, KeyValueRefused, KeyValueUnreachable
from rdskit.kernel.position_text import position_to_text
from rdskit.scale.cache.model import ID_BYTES
from rdskit.scale.cache.policy import stamp_of
from rdskit.scale.cache.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping, Sequence

    from rdskit.kernel.key_value import Command, KeyValueStore
    from rdskit.kernel.positions import Position
    from rdskit.runtime.tasks import TaskOwner
    from rdskit.scale.cache.model import CacheStats

_EPOCH_SECONDS: Final = 7 * 24 * 3600  # an epoch that expires invalidates what depends on it, like any other
LEASE: Final = 1000  # milliseconds for which a load holds its lease, if it is not renewed
_CONNECT: Final = 1.0  # seconds that a call waits for the first connection
_RELEASE: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
_RENEW: Final = (
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"
)
# The position goes with an epoch only while that is still the same one: a write may have deleted it since.
_ATTACH: Final = (
    "for i, key in ipairs(KEYS) do if redis.call('get', key) == ARGV[i] then"
    " redis.call('set', key, ARGV[i] .. ARGV[#ARGV], 'KEEPTTL') end end return 0"
)


class Found(NamedTuple):
    """What the store holds for one call.

    Attributes:
        entry: the entry, valid or not; None if there is none.
        epochs: the namespace's, then one for each table; None for those that are missing.
        number: of the request, in the order in which the server ran them.
    """

    entry: bytes | None
    epochs: list[bytes | None]
    number: int

    @property
    def stamp(self) -> bytes | None:
        """The ids of the epochs; None if one is missing."""
        return stamp_of(self.epochs)

    @property
    def generation(self) -> bytes | None:
        """The id of the namespace's epoch; None if it is missing."""
        epoch = self.epochs[0]
        return None if epoch is None else epoch[:ID_BYTES]


class Opening(NamedTuple):
    """A load that has begun: what it asked for is on its way.

    Attributes:
        answer: the replies.
        number: of the request.
        ids: for each epoch's key, in their order, what it is set to if it is missing.
    """

    answer: Awaitable[list[Any]]
    number: int
    ids: dict[bytes, bytes]


class Opened(NamedTuple):
    """What a load begins with.

    Attributes:
        found: the entry and the epochs, of which missing ones were made.
        leased: this process is the one to load; False if another one does.
        made: the keys of the epochs that were made, and what they hold.
    """

    found: Found
    leased: bool
    made: dict[bytes, bytes]


class Store:
    """The namespace in the store.

    Args:
        store: the connection.
        namespace: first part of every key.
        silence: see `Trust`.
        owner: of the background tasks.
        stats: counts outages.

    Attributes:
        trust: whether entries may be served.
        token: names this process as the holder of leases.
        seen: the id of the namespace's epoch that was read last; None if it was missing.
    """

    def __init__(
        self, store: KeyValueStore, namespace: bytes, silence: float, owner: TaskOwner, stats: CacheStats
    ) -> None:
        self._store = store
        self._namespace = namespace
        self._server: bytes | None = None
        self._prefix = b""
        self._tried = False
        self.trust = Trust(store, self.everything, silence, owner, stats)
        self.token = os.urandom(12)
        self.seen: bytes | None = None

    # -- keys ------------------------------------------------------------------------------------------------------

    def prefix(self) -> bytes:
        """Return what all keys begin with; the braces keep them in one slot of a cluster.

        Raises:
            KeyValueUnreachable: there is no connection, so the server process is not known.
        """
        server = self._store.server
        if server is not self._server or server is None:
            if server is None:
                raise KeyValueUnreachable("there is no connection to the cache")
            self._server = server
            self._prefix = b"{%s}:%s:" % (self._namespace, server[:12])
        return self._prefix

    def everything(self) -> bytes:
        """Return the key of the namespace's epoch."""
        return self.prefix() + b"n"

    def _epoch_keys(self, tables: Iterable[bytes]) -> list[bytes]:
        prefix = self.prefix()
        return [prefix + b"n", *(prefix + b"e:" + table for table in tables)]

    # -- reading ---------------------------------------------------------------------------------------------------

    async def usable(self) -> bool:
        """Return whether the store can be asked now; the first call waits for the connection."""
        if not self._tried:
            await self._store.connected(_CONNECT)
            self._tried = True
        return self.trust.whole and self._store.server is not None

    async def find(self, key: bytes, tables: Sequence[bytes]) -> Found:
        """Return an entry and the epochs of what it depends on, all of one moment.

        Raises:
            KeyValueError: there was no answer in time.
        """
        prefix = self.prefix()
        answer = self._store.request(("mget", prefix + key, prefix + b"n", *[prefix + b"e:" + each for each in tables]))
        number = self._store.sent
        entry, *epochs = await answer
        found = Found(entry, epochs, number)
        self.seen = found.generation
        return found

    def open(self, key: bytes, tables: Sequence[bytes]) -> Opening:
        """Make the epochs that are missing, ask for the lease, and read entry and epochs: sent at once.

        Raises:
            KeyValueUnreachable: there is no connection.
        """
        prefix = self.prefix()
        epochs = self._epoch_keys(tables)
        ids = [_new_id() for _ in epochs]
        commands: list[Command] = [_make(epoch, new) for epoch, new in zip(epochs, ids, strict=True)]
        commands.append(("set", _lease_of(prefix, key), self.token, "nx", "px", LEASE))
        commands.append(("mget", prefix + key, *epochs))
        answer = self._store.pipeline(commands)
        return Opening(answer, self._store.sent, dict(zip(epochs, ids, strict=True)))

    async def opened(self, opening: Opening) -> Opened:
        """Return what `open` found.

        Raises:
            KeyValueError: there was no answer in time, or the server refused to answer.
        """
        *_, lease, read = await opening.answer
        if isinstance(read, KeyValueError):
            raise read
        entry, *epochs = read
        made = {key: new for (key, new), epoch in zip(opening.ids.items(), epochs, strict=True) if epoch == new}
        return Opened(Found(entry, epochs, opening.number), lease == b"OK", made)

    async def generation(self) -> bytes:
        """Return the id of the namespace's epoch, which is made if there is none.

        Raises:
            KeyValueError: there was no answer in time, or the store is full.
        """
        key = self.everything()
        _, epoch = await self._store.pipeline([_make(key, _new_id()), ("get", key)])
        if not isinstance(epoch, bytes):
            raise KeyValueRefused("the cache takes no epoch: it is full")
        self.seen = epoch[:ID_BYTES]
        return self.seen

    # -- loading ---------------------------------------------------------------------------------------------------

    async def keep(self, key: bytes, entry: bytes, milliseconds: int) -> None:
        """Store an entry and let the lease go.

        Raises:
            KeyValueError: there was no answer in time.
        """
        prefix = self.prefix()
        await self._store.pipeline([("set", prefix + key, entry, "px", milliseconds), self._letting_go(prefix, key)])

    async def let_go(self, key: bytes) -> None:
        """Let the lease go without an entry."""
        await self._store.request(self._letting_go(self.prefix(), key))

    async def renew(self, key: bytes) -> None:
        """Hold the lease for longer."""
        await self._store.request(("eval", _RENEW, 1, _lease_of(self.prefix(), key), self.token, LEASE))

    async def is_leased(self, key: bytes) -> bool:
        """Return whether a process loads this entry."""
        return bool(await self._store.request(("exists", _lease_of(self.prefix(), key))))

    async def attach(self, made: Mapping[bytes, bytes], position: Position) -> None:
        """Say of epochs how far a host must have replayed to load for them.

        Args:
            made: keys and ids of epochs.
            position: of the writer, read after they were made.
        """
        if made:
            text = position_to_text(position)
            await self._store.request(("eval", _ATTACH, len(made), *made.keys(), *made.values(), text))

    def _letting_go(self, prefix: bytes, key: bytes) -> Command:
        return ("eval", _RELEASE, 1, _lease_of(prefix, key), self.token)

    # -- invalidating ----------------------------------------------------------------------------------------------

    async def invalidate(self, tables: Iterable[bytes] | None) -> bytes | None:
        """Delete epochs.

        Args:
            tables: whose; None for the namespace's, on which every entry depends.

        Returns:
            The id of the namespace's epoch before that; None if there was none.

        Raises:
            KeyValueError: there was no answer in time, or the server refused it.
        """
        everything = self.everything()
        keys = [everything] if tables is None else self._epoch_keys(tables)[1:]
        if not keys:
            return None
        before, deleted = await self._store.pipeline([("get", everything), ("del", *keys)])
        for reply in (before, deleted):
            if isinstance(reply, KeyValueError):
                raise reply
        return before[:ID_BYTES] if before else None

    async def count(self, counters: Mapping[str, int]) -> None:
        """Add to the counters of the namespace, which all processes share."""
        key = counters_key(self._namespace)
        await self._store.pipeline([("hincrby", key, name, number) for name, number in counters.items() if number])


def counters_key(namespace: bytes) -> bytes:
    """Return the key of the counters, which outlive the server process where it keeps data."""
    return b"{%s}:counters" % namespace


def _new_id() -> bytes:
    return os.urandom(ID_BYTES)


def _make(key: bytes, new: bytes) -> Command:
    return ("set", key, new, "nx", "ex", _EPOCH_SECONDS)


def _lease_of(prefix: bytes, key: bytes) -> bytes:
    return prefix + b"l:" + key
