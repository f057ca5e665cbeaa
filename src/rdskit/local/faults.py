"""Inject faults into a running local RDS, for chaos tests: dead or hung servers, lost or delayed packets.

```python
from rdskit.local import faults

with faults.injected("orders", faults.blackhole(path="client")):
    ...  # no client of the instance gets through; the local RDS sees a healthy server

async with faults.injected("orders", faults.latency(0.2)):
    ...  # the same without blocking the loop
```

``docs/faults.md`` describes what each fault does, and how Amazon RDS reacts to it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from rdskit.local.control.layout import Layout
from rdskit.local.control.loopback import order
from rdskit.local.fault_model import Fault, FaultKind, Path
from rdskit.local.lifecycle import data_directory, page_key_of, served_port

if TYPE_CHECKING:
    import pathlib

__all__ = [
    "Fault",
    "FaultKind",
    "Path",
    "blackhole",
    "clear",
    "full_disk",
    "hang",
    "inject",
    "injected",
    "kill",
    "lag",
    "latency",
    "reset",
]


def kill() -> Fault:
    """Describe SIGKILL to the primary server, as when its machine loses power."""
    return Fault("kill")


def hang() -> Fault:
    """Describe SIGSTOP to the primary server: its connections stay open, and it answers nothing."""
    return Fault("hang")


def blackhole(path: Path = "all") -> Fault:
    """Describe a network that drops every packet without an error.

    Args:
        path: ``all`` also cuts the server off from the local RDS, which then fails over; ``client`` cuts off clients
            only.
    """
    return Fault("blackhole", path=path)


def latency(seconds: float) -> Fault:
    """Describe a delay of each answer to a client by ``seconds``."""
    return Fault("latency", seconds)


def reset() -> Fault:
    """Describe one reset of all client connections that exist."""
    return Fault("reset")


def lag(seconds: float) -> Fault:
    """Describe replicas that stay ``seconds`` behind: all of a source's replicas, or the one replica itself."""
    return Fault("lag", seconds)


def full_disk() -> Fault:
    """Describe used-up storage: the instance is down with status ``storage-full`` until it gets more."""
    return Fault("full-disk")


def inject(
    identifier: str, fault: Fault, *, lasting: float | None = None, data: pathlib.Path | None = None
) -> dict[str, Any]:
    """Inject a fault into a running local RDS.

    Args:
        identifier: of the DB instance.
        fault: the fault.
        lasting: seconds after which it is cleared; None keeps it until :func:`clear`.
        data: the data directory; by default ``$RDSKIT_DATA``, else ``./.rdskit``.

    Returns:
        The fault in force: ``identifier``, ``kind``, ``seconds``, ``path``, ``lasting``.

    Raises:
        LocalError: there is no such instance, it cannot have this fault, or the local RDS is down.
        ConfigError: ``lasting`` for a fault that is over at once.
    """
    request = {"identifier": identifier, "kind": fault.kind, "seconds": fault.seconds, "path": fault.path}
    done: dict[str, Any] = _post("faults", {**request, "lasting": lasting}, data)
    return done


def clear(identifier: str, *, data: pathlib.Path | None = None) -> dict[str, Any]:
    """Clear all faults of a DB instance; arguments and errors as of :func:`inject`.

    Returns:
        ``identifier`` and ``cleared``: the kinds of the faults that were in force.
    """
    done: dict[str, Any] = _post("faults/clear", {"identifier": identifier}, data)
    return done


class injected:  # noqa: N801 - reads as the verb that it is: with faults.injected(...)
    """Keep a fault in force for the length of a ``with`` or ``async with`` block.

    The end of the block clears all faults of the instance.

    Args:
        identifier: of the DB instance.
        fault: the fault.
        data: the data directory; by default ``$RDSKIT_DATA``, else ``./.rdskit``.
    """

    def __init__(self, identifier: str, fault: Fault, *, data: pathlib.Path | None = None) -> None:
        self._identifier = identifier
        self._fault = fault
        self._data = data

    def __enter__(self) -> Self:
        inject(self._identifier, self._fault, data=self._data)
        return self

    def __exit__(self, *_: object) -> None:
        clear(self._identifier, data=self._data)

    async def __aenter__(self) -> Self:
        # The request to the local RDS blocks, and other tasks of the loop are the clients under test.
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.__exit__)


def _post(page: str, request: dict[str, Any], data: pathlib.Path | None) -> Any:
    layout = Layout(data_directory(data))
    return order(served_port(layout), page, page_key_of(layout), request)
