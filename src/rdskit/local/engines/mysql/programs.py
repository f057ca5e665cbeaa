"""Run programs of MySQL and MariaDB to their end, and keep initialized data directories for the next server."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import threading
from typing import IO, TYPE_CHECKING

from rdskit.errors import LocalError
from rdskit.local.engines.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rdskit.local.engines.mysql.installations import Installation
    from rdskit.local.engines.session import Account

# Several servers may be created at once. The first one makes the template, and the others wait for it.
_templates_lock = threading.Lock()


def initialised(templates: Path, installation: Installation, account: Account, make: Callable[[Path], None]) -> Path:
    """Return an initialized data directory, to be copied.

    Args:
        templates: where such directories are kept.
        installation: installation whose server is initialized.
        account: its only user.
        make: initializes the directory that it is given, which does not exist yet.
    """
    directory = templates / f"{installation.product.lower()}-{installation.version}-{account.user}"
    password = directory / "password"
    with _templates_lock:
        # The account is part of the data: with another password the template is of no use.
        if not password.exists() or password.read_text() != account.password:
            _make(directory, account, make)
    return directory / "data"


def _make(directory: Path, account: Account, make: Callable[[Path], None]) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    draft = directory.with_name(f"{directory.name}.{secrets.token_hex(4)}")
    draft.mkdir(parents=True, mode=0o700)
    write_whole(draft / "password", account.password)
    make(draft / "data")
    # An interrupted initialization leaves only a draft, which no server is copied from.
    draft.rename(directory)


def run_to_end(command: Sequence[str], *, stdin: IO[str] | int = subprocess.DEVNULL, timeout: float = 300.0) -> str:
    """Run a program to its end.

    Args:
        command: its words.
        stdin: an open file that it reads.
        timeout: seconds.

    Returns:
        Its output.

    Raises:
        LocalError: it failed; the message has the program's own.
    """
    answer = subprocess.run(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment(),
        timeout=timeout,
        check=False,
    )
    if answer.returncode != 0:
        complaints = [line for line in answer.stdout.splitlines() if "ERROR" in line]
        said = "\n".join(complaints) or answer.stdout[-1000:]
        raise LocalError(f"{_program(command)} failed ({answer.returncode}): {said.strip()}")
    return answer.stdout


def _program(command: Sequence[str]) -> str:
    """Return the name of the program in a command, behind namespace and loader."""
    words = [word for word in command if not word.startswith("-")]
    return next((word for word in words if "/bin/" in word or "/sbin/" in word), words[0])


def environment() -> dict[str, str]:
    """Return the environment of a server and its programs."""
    # MYSQL_HOST, MYSQL_TCP_PORT… concern other servers. LD_PRELOAD concerns the system's C library, and an unpacked
    # server has its own.
    foreign = ("MYSQL", "MARIADB", "LD_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return own | {"LC_ALL": "C", "TZ": "UTC"}
