"""PostgreSQL refuses to run as root: how its programs are started anyway, without touching the system.

As root a program runs in a user namespace of its own, in which it is user 1000; its files stay root's, so nothing needs
to be opened to others. Where namespaces are not allowed it runs as ``nobody`` and its files are given to that user.
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

_NAMESPACE = ("unshare", "--map-user=1000", "--map-group=1000", "--")
_OTHERS_MAY_ENTER = 0o001


class Identity(TypedDict, total=False):
    """The arguments of :class:`subprocess.Popen` that change the user; none of them stays the present one."""

    user: str
    group: int
    extra_groups: list[str | int]


@dataclass(frozen=True, slots=True)
class Privilege:
    """How a server's programs are started.

    Attributes:
        prefix: words put before each command.
        user: the user a program runs as; None stays the present one.
    """

    prefix: tuple[str, ...] = ()
    user: str | None = None

    @property
    def directory_mode(self) -> int:
        """Mode of the directories that hold the servers' data; secrets are in files of mode 0600."""
        return 0o700 if self.user is None else 0o711

    @property
    def identity(self) -> Identity:
        """As whom :class:`subprocess.Popen` runs a program."""
        if self.user is None:
            return Identity()
        return Identity(user=self.user, group=pwd.getpwnam(self.user).pw_gid, extra_groups=[])

    def own(self, path: Path) -> None:
        """Give a file or a whole directory to the user that the programs run as.

        Raises:
            LocalError: a directory above it is closed to that user.
        """
        if self.user is None:
            return
        uid = pwd.getpwnam(self.user).pw_uid
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
    """What this process needs in order to run PostgreSQL; found out once."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return Privilege()
    if _namespaces_work():
        return Privilege(prefix=_NAMESPACE)
    return Privilege(user="nobody")


def _namespaces_work() -> bool:
    try:
        answer = subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return answer.returncode == 0
