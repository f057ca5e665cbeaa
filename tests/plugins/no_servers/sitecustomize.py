"""Refuse to start a database server or a local RDS from this process: the guard of ``make quick``.

``tests/plugins/speeds.py`` installs it in pytest. With this folder on ``PYTHONPATH``, Python imports the module at its
start (documentation of the ``site`` module), so child processes refuse as well. It uses the standard library only.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVERS = frozenset(
    {"postgres", "initdb", "pg_ctl", "pg_basebackup", "mysqld", "mariadbd", "mariadb-install-db"}
    | {"valkey-server", "redis-server"}
)
#: With one of these a server program prints something and ends.
PRINTS = frozenset({"--version", "-V", "--help", "--describe-config", "-C"})
#: Audit events of the standard library that start a program, and the position of its arguments (PEP 578).
EVENTS = {"subprocess.Popen": 1, "os.posix_spawn": 1, "os.exec": 1}


class ServerStartedError(BaseException):
    """A test of ``make quick`` starts a server. Not an Exception: a retry must not swallow it."""


def started_server(command: Sequence[str]) -> str | None:
    """Return the name of the server that a command starts, or None."""
    if PRINTS.intersection(command):
        return None
    for before, word in zip(["", *command], command, strict=False):
        if os.path.basename(word) in SERVERS:  # noqa: PTH119 - runs in every child process, which may lack pathlib
            return os.path.basename(word)  # noqa: PTH119 - as above
        if before == "-m" and word.startswith("rdskit.local"):
            return word
    return None


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    """Audit hook: raise ServerStartedError before a server starts."""
    position = EVENTS.get(event)
    if position is None:
        return
    given = arguments[position]
    words = [given] if isinstance(given, str | bytes | os.PathLike) else list(given)  # type: ignore[call-overload]
    name = started_server([os.fsdecode(word) for word in words])
    if name is not None:
        raise ServerStartedError(f"{name} is started, but make quick runs only tests that start no server")


if __name__ == "sitecustomize":
    sys.addaudithook(refuse)
