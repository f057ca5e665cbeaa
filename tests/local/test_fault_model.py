"""Faults as values: valid combinations, and clear errors for the others."""

from __future__ import annotations

from typing import Any

import pytest

from rdskit.errors import ConfigError
from rdskit.local.fault_model import Fault, parse_seconds


@pytest.mark.parametrize(("text", "seconds"), [("200ms", 0.2), ("5s", 5.0), ("1.5m", 90.0), ("5", 5.0)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-5s", "5h", "5 s"])
def test_what_is_no_duration_is_one_clear_error(text: str) -> None:
    with pytest.raises(ConfigError, match="200ms, 5s or 1m"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "earthquake"}, "choose one of kill, hang"),
        ({"kind": "blackhole", "path": "server"}, "choose client or all"),
        ({"kind": "latency"}, "needs a duration"),
        ({"kind": "lag", "seconds": 1e9}, "up to a day"),
        ({"kind": "hang", "seconds": 1.0}, "--for"),
        ({"kind": "kill", "path": "client"}, "has no path"),
    ],
)
def test_what_is_no_fault_is_one_clear_error(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Fault(**fields)


def test_some_faults_last() -> None:
    assert Fault("hang").lasts
    assert not Fault("kill").lasts
    assert not Fault("reset").lasts
