"""Write files so that a crash leaves either the old content or the new one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Replace a file atomically, readable by its owner only.

    After the return, the new text survives a crash of the machine.
    """
    # Each call has its own draft. Two threads may save one cluster at the same time, and with a shared name the first
    # rename would take away the second one's draft.
    descriptor, draft = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            # Before the rename: otherwise a power failure may leave the new name with an empty file.
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    # The rename itself is durable only when the directory is synced.
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
