"""Whether a data directory is the one that it was made as, or a copy.

A copy has the keys, the port and the addresses of its original, so that its user would talk to the original's servers.
The marker says in which directory it was made, by inode and path. A directory that was moved within its file system
keeps its inode; one that was moved to another is taken over when its original is gone.
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
    """Have the marker say where the directory is now; for a directory that is about to be used as a local RDS.

    Raises:
        LocalError: it is a copy, and its original is still there or runs.
    """
    marker, place = read_json(layout.marker), _place(layout.data)
    if not _is_here(marker, place):
        _refuse_copy(layout.data, marker)
    if {name: marker.get(name) for name in place} != place:
        write_json(layout.marker, marker | place)


def check_place(layout: Layout) -> None:
    """Refuse a directory that is a copy; one without a marker is no local RDS yet, and fine.

    Raises:
        LocalError: it is a copy, and its original is still there or runs.
    """
    marker = read_json(layout.marker)
    if marker and not _is_here(marker, _place(layout.data)):
        _refuse_copy(layout.data, marker)


def _place(data: Path) -> dict[str, Any]:
    return {"inode": data.stat().st_ino, "path": str(data)}


def _is_here(marker: dict[str, Any], place: dict[str, Any]) -> bool:
    return marker.get("inode") in (None, place["inode"])  # None: it has just been made


def _refuse_copy(data: Path, marker: dict[str, Any]) -> None:
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
