"""Define the files of one local RDS. Nothing is written outside its data directory.

The directory is trusted: it holds keys and the configuration of the servers. So it must belong to this user, and no
other user may write to it. A marker file proves that it is a local RDS's, and has the version of its format.
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
        """Return the file that the daemon locks while it lives; the kernel releases the lock even after SIGKILL."""
        return self.data / "daemon.lock"

    @property
    def start(self) -> Path:
        """Return the file that is locked while a daemon is being started."""
        return self.data / "start.lock"

    @property
    def daemon(self) -> Path:
        """Return the file with the daemon's pid and port, and whether it is ready."""
        return self.data / "daemon.json"

    @property
    def log(self) -> Path:
        """Return the daemon's log."""
        return self.data / "daemon.log"

    @property
    def settings(self) -> Path:
        """Return the file with the settings that a later start uses again: the port."""
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
        """Create the directory, private to the user and ignored by version control, or check an existing one.

        Raises:
            ConfigError: the path is not a directory, or cannot be created.
            LocalError: other users can write to it, it is of another version, or it holds something else.
        """
        try:
            self.data.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            self._refuse_file()
        except OSError as error:
            raise ConfigError(
                f"{self.data} cannot be created ({error.strerror}): choose another directory with --data"
            ) from error
        # Checked before anything in it is read: the content of another user's directory must not be trusted.
        self._make_private()
        self.check()
        if not self.marker.exists():
            self._check_empty()
            _create(
                self.marker, {"kind": _KIND, "format": _FORMAT, "id": secrets.token_hex(8), "by": version("rdskit")}
            )
        found = self._marked_format()
        if found != _FORMAT:
            raise LocalError(
                f"{self.data} was created by another version of the local RDS (format {found}, this is {_FORMAT}): "
                "`rdskit local reset` deletes it with its databases"
            )
        ignore = self.data / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")

    def check(self) -> None:
        """Refuse a directory that other users could have written; accept one that does not exist.

        Raises:
            ConfigError: the path is not a directory.
            LocalError: it belongs to another user, or others can write to it.
        """
        self._refuse_file()
        for path in (self.data, self.state, self.key_pair, self.settings, self.daemon):
            with contextlib.suppress(FileNotFoundError):
                _check_private(path, path.lstat())

    def _refuse_file(self) -> None:
        if self.data.exists() and not self.data.is_dir():
            raise ConfigError(f"{self.data} is not a directory: choose another place with --data")

    def is_proven(self) -> bool:
        """Return whether the directory is a local RDS's: it has the marker, or state files from before markers."""
        if self._marked_format() is not None:
            return True
        return any(_begins_as_state(path) for path in self.state.glob("*.state"))

    def _make_private(self) -> None:
        """Make an empty directory of this user private."""
        # With a umask of 002 a directory that the user has created is writable for the group. Only an empty one is
        # changed: what is in another one may have been written by the group already.
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
        # Another process may have created the marker since the check: then the files are those of a local RDS.
        if not others or self.marker.exists():
            return
        if self.is_proven():
            raise LocalError(
                f"{self.data} was created by an earlier version of the local RDS: "
                "`rdskit local reset` deletes it with its databases"
            )
        raise LocalError(
            f"{self.data} holds something else ({min(others)!r}): choose an empty directory, or a new one, with --data"
        )


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file in one step, readable by the user only: a reader or a crash sees the old file or the new one."""
    # O_NOFOLLOW: a symbolic link at the temporary name must not lead the write elsewhere.
    temporary = path.with_name(f"{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # before the rename: after a power failure the new name could have no content
    temporary.replace(path)


def read_private(path: Path) -> bytes | None:
    """Return the content of a file that only this user can have written; None if there is no file.

    Raises:
        LocalError: another user can have written the file, or it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LocalError(f"{path} cannot be read ({error.strerror}): `rdskit local reset` deletes it") from error
    with os.fdopen(descriptor, "rb") as file:
        # Of the open descriptor: the path could be exchanged between a check and the read.
        _check_private(path, os.fstat(file.fileno()))
        return file.read()


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty if there is no file.

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
    """Replace a JSON file in one step."""
    replace_file(path, json.dumps(value, indent=1).encode())


def _create(path: Path, value: dict[str, Any]) -> None:
    """Create a JSON file that does not exist yet; of two processes, the first one's file stays."""
    # link() fails if the name exists, and the file appears with its whole content. O_EXCL would show an empty file
    # first.
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
