"""Where everything of one local RDS lies: nothing is written outside its data directory.

The directory is trusted: it holds keys, and what the servers are started with. So it must belong to this user, and no
other may write to it. A marker proves that it is a local RDS's and says in which format it was written.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from rdskit.errors import ConfigError, LocalError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Layout", "read_json", "read_private", "replace_file", "write_json"]

_FORMAT: Final = 2
_MARKER: Final = "cloud.json"
_KIND: Final = "rdskit local RDS"
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_STATE_HEADER: Final = b"rdskit-state "


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one data directory.

    Attributes:
        data: the directory, absolute.
    """

    data: Path

    @property
    def lock(self) -> Path:
        """Return the file that the daemon locks as long as it lives, however it ends."""
        return self.data / "daemon.lock"

    @property
    def start(self) -> Path:
        """Return the file that is locked while a daemon is started."""
        return self.data / "start.lock"

    @property
    def daemon(self) -> Path:
        """Return the file in which the daemon writes its pid, its port, and whether it is ready."""
        return self.data / "daemon.json"

    @property
    def log(self) -> Path:
        """Return the daemon's log."""
        return self.data / "daemon.log"

    @property
    def settings(self) -> Path:
        """Return the file with what is remembered from one start to the next: the port."""
        return self.data / "settings.json"

    @property
    def key_pair(self) -> Path:
        """Return the file with the AWS key pair of the local RDS."""
        return self.data / "key-pair.json"

    @property
    def state(self) -> Path:
        """Return the directory with the state of the AWS services."""
        return self.data / "services"

    @property
    def fleet(self) -> Path:
        """Return the directory of the database servers."""
        return self.data / "fleet"

    @property
    def marker(self) -> Path:
        """Return the file that proves that the directory is a local RDS's."""
        return self.data / _MARKER

    def make(self) -> None:
        """Make the directory, private to the user, and keep it out of the user's version control.

        Raises:
            ConfigError: it is no directory, or cannot be made.
            LocalError: it is not this user's alone, of another version, or holds something else.
        """
        try:
            self.data.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            self._refuse_file()
        except OSError as error:
            raise ConfigError(
                f"{self.data} cannot be made ({error.strerror}): choose another directory with --data"
            ) from error
        self._claim()
        self.check()
        if not self.marker.exists():
            self._check_empty()
            _create(
                self.marker, {"kind": _KIND, "format": _FORMAT, "id": secrets.token_hex(8), "by": version("rdskit")}
            )
        found = self._marked_format()
        if found != _FORMAT:
            raise LocalError(
                f"{self.data} was made by another version of the local RDS (format {found}, this is {_FORMAT}): "
                "`rdskit local reset` deletes it with its databases"
            )
        ignore = self.data / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")

    def check(self) -> None:
        """Refuse a directory that other users could have written; one that does not exist is fine.

        Raises:
            ConfigError: it is no directory.
            LocalError: it is not this user's alone.
        """
        self._refuse_file()
        for path in (self.data, self.state, self.key_pair, self.settings, self.daemon):
            with contextlib.suppress(FileNotFoundError):
                _check_private(path, path.lstat())

    def _refuse_file(self) -> None:
        if self.data.exists() and not self.data.is_dir():
            raise ConfigError(f"{self.data} is not a directory: choose another place with --data")

    def is_proven(self) -> bool:
        """Return whether the directory is a local RDS's: it has the marker, or states of the time before it."""
        if self._marked_format() is not None:
            return True
        return any(_begins_as_state(path) for path in self.state.glob("*.state"))

    def _claim(self) -> None:
        """Make an empty directory of this user private: many users' files are open to a group at first."""
        facts = self.data.lstat()
        if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid() and not any(self.data.iterdir()):
            self.data.chmod(0o700)

    def _marked_format(self) -> int | None:
        try:
            marker = read_json(self.marker)
        except LocalError:
            return None
        return marker["format"] if marker.get("kind") == _KIND and isinstance(marker.get("format"), int) else None

    def _check_empty(self) -> None:
        others = [path.name for path in self.data.iterdir() if not path.name.startswith((_MARKER, ".gitignore"))]
        if not others or self.marker.exists():  # another process may just have made it
            return
        if self.is_proven():
            raise LocalError(
                f"{self.data} was made by an earlier version of the local RDS: "
                "`rdskit local reset` deletes it with its databases"
            )
        raise LocalError(
            f"{self.data} holds something else ({min(others)!r}): choose an empty directory, or a new one, with --data"
        )


def replace_file(path: Path, content: bytes) -> None:
    """Write ``content``, readable by the user only, so that a reader or a crash sees the old file or the new one."""
    temporary = path.with_name(f"{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_private(path: Path) -> bytes | None:
    """Return what is in a file that only this user can have written; None when there is no file.

    Raises:
        LocalError: another user can have written it, or it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LocalError(f"{path} cannot be read ({error.strerror}): `rdskit local reset` deletes it") from error
    with os.fdopen(descriptor, "rb") as file:
        _check_private(path, os.fstat(file.fileno()))
        return file.read()


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty when there is no file.

    Raises:
        LocalError: the file is damaged, or another user can have written it.
    """
    content = read_private(path)
    if content is None:
        return {}
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise LocalError(f"{path} is damaged: `rdskit local reset` deletes it with all databases beside it")
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a JSON file."""
    replace_file(path, json.dumps(value, indent=1).encode())


def _create(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON file that is not there yet; of two processes that do it, the first one's stays."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    write_json(draft, value)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _check_private(path: Path, facts: os.stat_result) -> None:
    if stat.S_ISLNK(facts.st_mode):
        raise LocalError(f"{path} is a symbolic link: choose another directory with --data")
    if facts.st_uid != os.geteuid():
        raise LocalError(f"{path} belongs to another user: run as that user, or choose another directory with --data")
    if facts.st_mode & _OTHERS_WRITE:
        raise LocalError(f"{path} can be written by other users: if you trust what is in it, `chmod go-w {path}`")


def _begins_as_state(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_STATE_HEADER)) == _STATE_HEADER
    except OSError:
        return False
