"""No read through the cache is older than what was acknowledged before it began, whatever is done to Redis."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from rdskit.local.engines.valkey.server import ValkeyServer, throwaway_valkey
from tests.client.readers import replicated
from tests.plugins.confidentiality import keep_confidential
from tests.scale.cache.storm.storm import storm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.scale.cache.storm.worker import Result

EVICTING = {"save": "3600 1", "maxmemory-policy": "allkeys-random"}


@pytest.fixture
def struck_valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """Provide a Valkey that evicts at random where it is full, and saves its data when it ends by itself."""
    with throwaway_valkey(tmp_path / "cache", EVICTING) as server:
        keep_confidential(server.password)
        yield server


def judge(results: list[Result], steps: int, seed: str = "") -> None:
    """Fail if a read was stale or an error reached a caller, or if the storm did not try what it is for."""
    assert [each for result in results for each in (result.stale, result.errors)] == [[], []] * len(results), (
        f"seed {seed}"
    )
    assert sum(result.steps for result in results) == steps
    assert all(result.counts["hits"] > result.reads / 10 for result in results), results
    assert all(result.writes and result.cancelled for result in results)


@pytest.mark.timeout(300)
async def test_no_read_is_stale_in_100000_steps_with_a_lagging_replica(
    struck_valkey: ValkeyServer, tmp_path: Path
) -> None:
    with replicated(tmp_path, 1) as servers:
        servers.delay("10ms")
        results = await storm(
            servers.url, struck_valkey, tmp_path, steps=100_000, seed="42", readers=servers.readers, strikes=10
        )
    judge(results, 100_000)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_no_read_is_stale_in_a_million_steps(struck_valkey: ValkeyServer, tmp_path: Path) -> None:
    seed = str(random.SystemRandom().random())
    with replicated(tmp_path, 1) as servers:
        servers.delay("10ms")
        results = await storm(
            servers.url, struck_valkey, tmp_path, steps=1_000_000, seed=seed, readers=servers.readers, strikes=200
        )
    judge(results, 1_000_000, seed)
