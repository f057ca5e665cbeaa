"""One throw-away Valkey for the whole run; each test takes a namespace of its own in it."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from rdskit.local.engines.valkey.server import ValkeyServer, throwaway_valkey
from tests.plugins.confidentiality import keep_confidential

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = count()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """Provide a Valkey of this run's own: ``url``, ``host``, ``port``, ``password``."""
    with throwaway_valkey(tmp_path_factory.mktemp("valkey")) as server:
        keep_confidential(server.password)
        yield server


@pytest.fixture
def namespace() -> str:
    """Return a namespace that no other test of this run uses."""
    return f"test{next(_numbers)}"
