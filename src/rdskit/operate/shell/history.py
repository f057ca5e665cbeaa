"""The file of the prompt's history, readable by its user only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from rdskit.errors import ConfigError

VARIABLE: Final = "RDSKIT_HISTORY"


def history_file() -> Path | None:
    """Return the file, created with mode 0600 if it is missing; None if the variable is set and empty.

    Raises:
        ConfigError: it cannot be written.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen == "":
        return None
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    path = Path(chosen).expanduser() if chosen else state / "rdskit/history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise ConfigError(
            f"history file {path} cannot be written: {error.strerror}; set {VARIABLE} to another, or empty for none"
        ) from error
    return path
