"""Where everything of one local RDS lies: nothing is written outside its data directory."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Layout", "read_json", "replace_file", "write_json"]


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one data directory.

    Attributes:
        data: the directory, absolute.
    """

    data: Path

    @property
    def lock(self) -> Path:
        """Locked by the daemon as long as it lives, however it ends."""
        return self.data / "daemon.lock"

    @property
    def start(self) -> Path:
        """Locked by whoever starts the daemon, until it is ready."""
        return self.data / "start.lock"

    @property
    def daemon(self) -> Path:
        """What the daemon says of itself: pid, port, ready or an error."""
        return self.data / "daemon.json"

    @property
    def log(self) -> Path:
        """What the daemon logs."""
        return self.data / "daemon.log"

    @property
    def settings(self) -> Path:
        """What is remembered from one start to the next: the port."""
        return self.data / "settings.json"

    @property
    def key_pair(self) -> Path:
        """The AWS key pair of the local RDS."""
        return self.data / "key-pair.json"

    @property
    def state(self) -> Path:
        """The state of the AWS services."""
        return self.data / "services"

    @property
    def fleet(self) -> Path:
        """The database servers."""
        return self.data / "fleet"

    def make(self) -> None:
        """Make the directory, private to the user, and keep it out of the user's version control."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        ignore = self.data / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")


def replace_file(path: Path, content: bytes) -> None:
    """Write ``content``, readable by the user only, so that a reader or a crash sees the old file or the new one."""
    temporary = path.with_name(f"{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty when there is no file."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    value: dict[str, Any] = json.loads(text)
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a JSON file."""
    replace_file(path, json.dumps(value, indent=1).encode())
