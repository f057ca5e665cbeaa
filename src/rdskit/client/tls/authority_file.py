"""Write the certificate authorities to one file, for drivers such as libpq that read them from a path."""

from __future__ import annotations

import atexit
import functools
import os
import tempfile
from pathlib import Path

from rdskit.client.tls.context import authorities, further_authorities


def authority_file(ca: str | os.PathLike[str] | None = None) -> str:
    """Return the path of a file with the shipped bundle and all further authorities.

    The file is private to this user, and removed when the process ends. All callers with the same arguments share it.
    It is in the temporary directory, where a cleaner may remove it after some days: so ask for the path each time.

    Args:
        ca: path of a PEM file with further authorities; the file that ``RDSKIT_CA`` names is added too.

    Raises:
        ConfigError: a file cannot be read.
    """
    # The process id is part of the cache's key: a forked child writes a file of its own, and removes only that.
    process, further = os.getpid(), further_authorities(ca)
    path = _write(process, further)
    if not Path(path).exists():
        _write.cache_clear()
        path = _write(process, further)
    return path


@functools.lru_cache(maxsize=16)
def _write(process: int, further: tuple[tuple[str, int], ...]) -> str:
    texts = [authorities(), *(Path(path).read_text(encoding="utf-8") for path, _ in further)]
    descriptor, path = tempfile.mkstemp(prefix="rdskit-ca-", suffix=".pem")  # mode 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(texts))
    atexit.register(_remove, path, process)
    return path


def _remove(path: str, process: int) -> None:
    if os.getpid() == process:  # a forked child inherits the exit handler, and must not remove its parent's file
        Path(path).unlink(missing_ok=True)
