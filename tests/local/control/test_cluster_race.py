"""Two CreateDBCluster calls with one name: the second is refused, also while an engine is being fetched."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rdskit.local.control.rds.clusters import Clusters
from rdskit.local.control.rds.rds_errors import ClusterExistsError


def test_a_cluster_that_was_created_while_the_engine_was_fetched_is_kept() -> None:
    kept: dict[str, Any] = {}

    def require(engine: str) -> None:
        kept["orders"] = engine  # another caller's cluster: the monitor was released

    backend: Any = SimpleNamespace(clusters=kept, engines=SimpleNamespace(require=require))
    with pytest.raises(ClusterExistsError):
        Clusters(backend).create({"DBClusterIdentifier": "orders", "Engine": "aurora-postgresql"})
    assert kept == {"orders": "aurora-postgresql"}
