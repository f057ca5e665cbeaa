"""What the caches of all processes of a namespace have done, read from the server."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from rdskit.errors import ConnectError
from rdskit.kernel.key_value import KeyValueError
from rdskit.scale.cache.model import CacheStats
from rdskit.scale.cache.service import connected
from rdskit.scale.cache.store import counters_key


class Report(NamedTuple):
    """The figures of a namespace.

    Attributes:
        counters: of all processes, by the names of `CacheStats`; each process adds its own every 5 seconds.
        server: version of the server.
        memory: bytes that the server uses for its data, of whatever namespace.
        evicted: keys that it has evicted since its start.
    """

    counters: dict[str, int]
    server: str
    memory: int
    evicted: int

    @property
    def hit_rate(self) -> float | None:
        """The share of calls that were answered from the cache; None without a call."""
        hits = self.counters["hits"]
        calls = hits + sum(self.counters[name] for name in ("misses", "bypassed", "unavailable"))
        return hits / calls if calls else None


async def report_on(redis: str, namespace: str, timeout: float) -> Report:
    """Read the figures of a namespace.

    Args:
        redis: the server's URL.
        namespace: as for `Cache`.
        timeout: seconds for the connection, and again for the answers.

    Raises:
        ConfigError: the URL or the namespace is wrong.
        ConnectError: the server does not answer.
    """
    store = connected(redis, namespace, timeout)
    try:
        if not await store.connected(timeout):
            raise ConnectError(f"no connection to the cache {store!r}: is it up, and does it let this machine in?")
        counted, info = await store.pipeline([("hgetall", counters_key(namespace.encode())), ("info",)])
    except KeyValueError as error:
        raise ConnectError(f"the cache does not answer: {error}") from error
    finally:
        await store.close()
    found = dict(zip(counted[::2], counted[1::2], strict=True))
    lines = (line.partition(b":") for line in info.splitlines() if b":" in line)
    about = {name.decode(): value.decode() for name, _, value in lines}
    return Report(
        {each.name: int(found.get(each.name.encode(), 0)) for each in dataclasses.fields(CacheStats)},
        about.get("valkey_version") or about.get("redis_version", ""),
        int(about.get("used_memory", 0)),
        int(about.get("evicted_keys", 0)),
    )
