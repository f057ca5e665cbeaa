"""Find each local RDS that runs on this machine, by the processes of the daemons."""

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
    """A running local RDS.

    Attributes:
        data: its data directory.
        port: port of its AWS API.
        pid: process id of its daemon.
        user: owner of the daemon.
    """

    data: Path
    port: int
    pid: int
    user: str


def running() -> Iterator[Cloud]:
    """Yield each running local RDS of this machine, as far as this user may read processes."""
    for process in psutil.process_iter():
        found = cloud_of(process)
        if found is not None:
            yield found


def cloud_of(process: psutil.Process) -> Cloud | None:
    """Return the local RDS whose daemon a process is; None if it is another process, has ended, or is not readable."""
    try:
        place = _place(process.cmdline())
        return None if place is None else Cloud(*place, process.pid, process.username())
    except psutil.Error:
        return None


def _place(words: Sequence[str]) -> tuple[Path, int] | None:
    """Return the data directory and the port on a daemon's command line; None if it is another program's."""
    if _MODULE not in words:
        return None
    # Each word with the next one: enough for options that all have a value, wherever they stand.
    options = dict(itertools.pairwise(words))
    data, port = options.get("--data"), options.get("--port", "")
    return (Path(data), int(port)) if data and port.isdecimal() else None
