"""PostgreSQL refuses to run as root: how its programs are started anyway, without touching the system.

As root a program runs in a user namespace of its own, in which it is user 1000; its files stay root's, so nothing needs
to be opened to others. Where namespaces are not allowed it runs as ``nobody`` and its files are given to that user.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdskit.errors import LocalError

if TYPE_CHECKING:
    from pathlib import Path

_NAMESPACE = ("unshare", "--map-user=1000", "--map-group=1000", "--")
_OTHERS_MAY_ENTER = 0o001


@dataclass(frozen=True, slots=True)
class Privilege:
    """How a server's programs are started.

    Attributes:
        prefix: words put before each command.
        user: the user a program runs as; None stays the present one.
    """

    prefix: tuple[str, ...] = ()
    user: str | None = None

    def own(self, path: Path) -> None:
        """Give a file or a whole directory to the user that the programs run as.

        Raises:
            LocalError: a directory above it is closed to that user.
        """
        if self.user is None:
            return
        for parent in path.absolute().parents:
            if not parent.stat().st_mode & _OTHERS_MAY_ENTER:
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
