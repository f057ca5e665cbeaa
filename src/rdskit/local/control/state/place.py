"""Detect whether a data directory is an original or a copy.

A copy has the keys, the port and the addresses of its original, so its user would talk to the original's servers. The
marker records the inode and the path of its directory. A directory that is moved within its file system keeps its
inode. One that is moved to another file system is accepted if its original no longer exists.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdskit.errors import LocalError
from rdskit.local.control.clouds import running
from rdskit.local.control.layout import read_json, write_json

if TYPE_CHECKING:
    from rdskit.local.control.layout import Layout

__all__ = ["check_place", "settle"]


def settle(layout: Layout) -> None:
    """Record the directory's place in its marker, before it is used as a local RDS.

    Raises:
        LocalError: the directory is a copy, and its original exists or runs.
    """
    marker, place = read_json(layout.marker), _place(layout.data)
    if not _is_here(marker, place):
        _refuse_copy(layout.data, marker)
    if {name: marker.get(name) for name in place} != place:
        write_json(layout.marker, marker | place)


def check_place(layout: Layout) -> None:
    """Refuse a directory that is a copy; accept one without a marker, which is no local RDS yet.

    Raises:
        LocalError: the directory is a copy, and its original exists or runs.
    """
    marker = read_json(layout.marker)
    if marker and not _is_here(marker, _place(layout.data)):
        _refuse_copy(layout.data, marker)


def _place(data: Path) -> dict[str, Any]:
    return {"inode": data.stat().st_ino, "path": str(data)}


def _is_here(marker: dict[str, Any], place: dict[str, Any]) -> bool:
    return marker.get("inode") in (None, place["inode"])  # None: the marker is new


def _refuse_copy(data: Path, marker: dict[str, Any]) -> None:
    # The original may have been moved since: a running one is found by its daemon's command line.
    candidates = [Path(str(marker.get("path"))), *(cloud.data for cloud in running())]
    for original in candidates:
        if original != data and _id_of(original) == marker.get("id"):
            raise LocalError(
                f"{data} is a copy of {original}: both would have the same keys and addresses; use the original, or "
                f"delete the copy with `rdskit local reset --data {data}`"
            )


def _id_of(data: Path) -> object:
    try:
        return read_json(data / "cloud.json").get("id", "none")
    except (LocalError, OSError):
        return "none"
