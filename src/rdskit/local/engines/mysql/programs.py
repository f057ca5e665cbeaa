"""Running the programs of MySQL and MariaDB to their end, and initialised data directories for the next server."""

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

_templates_lock = threading.Lock()


def initialised(templates: Path, installation: Installation, account: Account, make: Callable[[Path], None]) -> Path:
    """An initialised data directory, to be copied.

    Args:
        templates: where such directories are kept.
        installation: whose server is initialised.
        account: its only user.
        make: initialises the directory that it is given, which does not exist yet.
    """
    directory = templates / f"{installation.product.lower()}-{installation.version}-{account.user}"
    password = directory / "password"
    with _templates_lock:
        if not password.exists() or password.read_text() != account.password:
            _make(directory, account, make)
    return directory / "data"


def _make(directory: Path, account: Account, make: Callable[[Path], None]) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    draft = directory.with_name(f"{directory.name}.{secrets.token_hex(4)}")
    draft.mkdir(parents=True, mode=0o700)
    write_whole(draft / "password", account.password)
    make(draft / "data")
    draft.rename(directory)


def run_to_end(command: Sequence[str], *, stdin: IO[str] | int = subprocess.DEVNULL, timeout: float = 300.0) -> str:
    """Run a program to its end.

    Args:
        command: its words.
        stdin: an open file that it reads.
        timeout: seconds.

    Returns:
        What it has written.

    Raises:
        LocalError: it failed; the message has its own.
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
    words = [word for word in command if not word.startswith("-")]
    return next((word for word in words if "/bin/" in word or "/sbin/" in word), words[0])


def environment() -> dict[str, str]:
    """What a server and its programs see of our own environment."""
    # MYSQL_HOST, MYSQL_TCP_PORT… are about other servers; LD_PRELOAD is for programs of the system's own C library.
    foreign = ("MYSQL", "MARIADB", "LD_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return own | {"LC_ALL": "C", "TZ": "UTC"}
