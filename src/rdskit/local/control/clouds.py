"""The local RDS that run on this machine, by their daemons' processes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Cloud", "cloud_of", "running"]

_MODULE: Final = "rdskit.local.daemon"


class Cloud(NamedTuple):
    """One local RDS that runs.

    Attributes:
        data: its data directory.
        port: of its AWS API.
        pid: of its daemon.
        user: the user whose daemon it is.
    """

    data: Path
    port: int
    pid: int
    user: str


def running() -> Iterator[Cloud]:
    """Yield each local RDS of this machine, as far as this user may look at processes."""
    for process in psutil.process_iter():
        found = cloud_of(process)
        if found is not None:
            yield found


def cloud_of(process: psutil.Process) -> Cloud | None:
    """Return the local RDS whose daemon a process is; None if it is none, has ended, or may not be looked at."""
    try:
        place = _place(process.cmdline())
        return None if place is None else Cloud(*place, process.pid, process.username())
    except psutil.Error:
        return None


def _place(words: Sequence[str]) -> tuple[Path, int] | None:
    """Return the data directory and the port on a daemon's command line; None if it is another program's."""
    if _MODULE not in words:
        return None
    options = dict(itertools.pairwise(words))
    data, port = options.get("--data"), options.get("--port", "")
    return (Path(data), int(port)) if data and port.isdecimal() else None
