"""Run PostgreSQL although this process is root, without changes to the system.

PostgreSQL refuses to run as root. A program of root's runs in a user namespace of its own, in which it is user 1000.
Its files stay root's, so nothing needs to be opened to others. If namespaces are not allowed, the program runs as the
system's unprivileged user, who is given its files.
"""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from rdskit.errors import LocalError

if TYPE_CHECKING:
    from pathlib import Path

# Inside the namespace the program is user 1000; outside, its files belong to root.
_NAMESPACE = ("unshare", "--map-user=1000", "--map-group=1000", "--")
_OTHERS_MAY_ENTER = 0o001


class Identity(TypedDict, total=False):
    """Arguments of :class:`subprocess.Popen` that change the user; without any, the user stays."""

    user: str
    group: int
    extra_groups: list[str | int]


@dataclass(frozen=True, slots=True)
class Privilege:
    """Way to start a server's programs.

    Attributes:
        prefix: words put before each command.
        user: the user that a program runs as; None keeps the present one.
    """

    prefix: tuple[str, ...] = ()
    user: str | None = None

    @property
    def directory_mode(self) -> int:
        """Mode of the directories that hold the servers' data. Secrets are in files of mode 0600."""
        # Another user must be able to enter the directories (x), but not to list them.
        return 0o700 if self.user is None else 0o711

    @property
    def identity(self) -> Identity:
        """User arguments for :class:`subprocess.Popen`."""
        if self.user is None:
            return Identity()
        # An empty list of extra groups: without it the program would keep root's.
        return Identity(user=self.user, group=pwd.getpwnam(self.user).pw_gid, extra_groups=[])

    def own(self, path: Path) -> None:
        """Give a file or a whole directory to the user that the programs run as.

        Raises:
            LocalError: that user may not enter a directory above it.
        """
        if self.user is None:
            return
        uid = pwd.getpwnam(self.user).pw_uid
        # Checked here, because PostgreSQL's own message for this is only "could not access directory".
        for parent in path.absolute().parents:
            about = parent.stat()
            if not (about.st_uid == uid or about.st_mode & _OTHERS_MAY_ENTER):
                raise LocalError(
                    f"PostgreSQL cannot run as root, and user {self.user} may not enter {parent}: "
                    f"use a data directory elsewhere, or run as an ordinary user"
                )
        for each in (path, *path.rglob("*")) if path.is_dir() else (path,):
            shutil.chown(each, self.user)


@functools.cache
def current() -> Privilege:
    """Return how this process must start PostgreSQL; determined once."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return Privilege()
    if _namespaces_work():
        return Privilege(prefix=_NAMESPACE)
    return Privilege(user="nobody")


def _namespaces_work() -> bool:
    """Return whether a program starts in a user namespace. Containers often forbid it."""
    try:
        answer = subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return answer.returncode == 0
