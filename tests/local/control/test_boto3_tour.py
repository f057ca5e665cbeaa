"""The example that uses the local RDS with plain boto3, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rdskit.local import lifecycle

if TYPE_CHECKING:
    from tests.local.control.conftest import LocalRdsDaemon

EXAMPLE = Path(__file__).parents[3] / "examples" / "boto3_tour.py"


@pytest.mark.no_server
def test_the_tour_creates_nothing_where_no_local_endpoint_is_set() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    run = subprocess.run([sys.executable, EXAMPLE], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("AWS_ENDPOINT_URL is not set")
    assert "rdskit local env" in run.stderr


def test_the_tour_runs_to_its_end(local: LocalRdsDaemon) -> None:
    run = subprocess.run(
        [sys.executable, EXAMPLE],
        env={**os.environ, **lifecycle.env(local.data)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    for said in (
        "created tour-orders in eu-west-1a",
        "the primary is in eu-west-1b now, with 2 orders",
        "read 3 orders from tour-orders-reader",
        "a write to the replica is refused",
        "deleted tour-orders\n",
    ):
        assert said in run.stdout
    assert "import rdskit" not in EXAMPLE.read_text()
    assert local.rds.describe_db_instances()["DBInstances"] == []
