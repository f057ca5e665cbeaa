"""Parse a request for a fault, from the command line or from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rdskit.errors import ConfigError
from rdskit.local.fault_model import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["requested"]


def requested(asked: Mapping[str, Any]) -> tuple[str, Fault, float | None]:
    """Return the instance, the fault and its duration in seconds.

    Args:
        asked: ``identifier``, ``kind``, ``seconds``, ``path``, ``lasting``.

    Raises:
        ConfigError: there is no such fault, or it has no duration.
    """
    fault = Fault(asked.get("kind", ""), float(asked.get("seconds") or 0.0), asked.get("path") or "all")
    lasting = None if asked.get("lasting") is None else float(asked["lasting"])
    if lasting is not None and not fault.lasts:
        raise ConfigError(f"{fault.kind} is over as soon as it has happened: leave --for out")
    if lasting is not None and lasting <= 0:
        raise ConfigError(f"a fault cannot last {lasting:g} s: give more than 0 seconds")
    return str(asked.get("identifier", "")), fault, lasting
