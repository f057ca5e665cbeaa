"""Unpack Debian packages into the user's cache: servers without root, and without changes to the system.

apt works with a private state in which no package is installed. So everything that a server needs is downloaded,
including the C library and its loader. The server runs through that loader, independent of the system's release.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rdskit.errors import LocalError
from rdskit.local.engines import apt_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_APT = Path("/etc/apt")
_NEEDED = ("apt-get", "dpkg")
_NETWORK_TIMEOUT = 900.0
_UNPACK_TIMEOUT = 300.0
_NOT_NEEDED_TO_RUN = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/perl", "usr/lib/mysql-test")
_ARCHIVES_NOT_NEEDED = ("perl", "libperl", "gcc-")
_LAST_LINES = 3
#: The system may have hooks that need root. Containers, for example, empty the package cache after each update.
_NO_HOOKS = tuple(f"#clear APT::Update::{moment};" for moment in ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success"))


@dataclass(frozen=True, slots=True)
class PackageSet:
    """Set of packages to unpack together.

    Attributes:
        name: of the folder in the cache.
        title: for people.
        packages: packages to install; their dependencies are added.
        programs: programs of ``usr/bin`` to keep; each takes some megabytes.
        suite: of the same archive to take them from; None takes the installed release.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    suite: str | None = None


def cache_directory() -> Path:
    """Return the folder of unpacked servers: ``$XDG_CACHE_HOME/rdskit/servers``, or below ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification: a relative path is invalid and ignored.
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "rdskit" / "servers"


def find_unpacked(packages: PackageSet, cache: Path) -> Path | None:
    """Return the folder of a set that is unpacked already; nothing is downloaded."""
    folder = cache / packages.name
    return folder if folder.is_dir() else None


def ensure_unpacked(packages: PackageSet, cache: Path, report: Callable[[str], None], apt: Path = _APT) -> Path:
    """Unpack a set unless that was done before. Two processes that need it at once unpack it once.

    Args:
        packages: the set.
        cache: the folder of all sets.
        report: called with the progress, as this may take a minute.
        apt: the folder of apt's configuration, which names the machine's archives.

    Returns:
        The folder of the set, laid out like the root of a system.

    Raises:
        LocalError: there is no apt, or it could not get the packages.
    """
    found = find_unpacked(packages, cache)
    if found:
        return found
    _require_apt(packages)
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _lock(cache / f"{packages.name}.lock"):
        # Looked up again under the lock: another process may have unpacked the set during the wait.
        return find_unpacked(packages, cache) or _unpack(packages, cache, report, apt)


def _unpack(packages: PackageSet, cache: Path, report: Callable[[str], None], apt: Path) -> Path:
    # After an interrupted attempt, apt checks and reuses the downloads in the draft. Unpacked files may be incomplete,
    # so they are removed.
    draft = cache / f"{packages.name}.draft"
    root = draft / "root"
    shutil.rmtree(root, ignore_errors=True)
    report(f"{packages.title} is not installed: downloading it once into {cache}")
    archives = _download(packages, draft, apt)
    for archive in archives:
        _run(["dpkg", "-x", str(archive), str(root)], packages, timeout=_UNPACK_TIMEOUT)
    _remove_unneeded(root, packages.programs)
    target = cache / packages.name
    # The rename is what makes the set complete: find_unpacked() never sees half of one.
    root.rename(target)
    shutil.rmtree(draft)
    report(f"{packages.title} is unpacked in {target}")
    return target


def _download(packages: PackageSet, draft: Path, apt: Path) -> list[Path]:
    command = ["apt-get", "-c", str(_private_state(draft, _sources(packages, apt)))]
    _run([*command, "update"], packages, timeout=_NETWORK_TIMEOUT)
    _run(
        [*command, "install", "--yes", "--download-only", "--no-install-recommends", *packages.packages],
        packages,
        timeout=_NETWORK_TIMEOUT,
    )
    archives = sorted((draft / "archives").glob("*.deb"))
    return [archive for archive in archives if not archive.name.startswith(_ARCHIVES_NOT_NEEDED)]


def _private_state(draft: Path, sources: Sequence[apt_sources.Source]) -> Path:
    for folder in ("lists/partial", "archives/partial", "sources"):
        (draft / folder).mkdir(parents=True, exist_ok=True)
    status = draft / "status"
    status.touch()
    (draft / "sources" / "archive.sources").write_text("\n".join(source.text for source in sources))
    settings = {
        "Dir::State::Lists": draft / "lists",
        "Dir::State::Status": status,
        "Dir::Cache::Archives": draft / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Dir::Etc::SourceList": os.devnull,
        "Dir::Etc::SourceParts": draft / "sources",
        # As root, apt downloads as user _apt, who may not enter a private cache.
        "APT::Sandbox::User": "",
        # The private state has its own lock file, taken in ensure_unpacked().
        "Debug::NoLocking": "true",
    }
    lines = [*_NO_HOOKS, *(f'{name} "{value}";' for name, value in settings.items()), ""]
    configuration = draft / "apt.conf"
    configuration.write_text("\n".join(lines))
    return configuration


def _sources(packages: PackageSet, apt: Path) -> list[apt_sources.Source]:
    codename = _release().get("VERSION_CODENAME", "")
    found = list(machine_sources(apt))
    if packages.suite:
        chosen = apt_sources.other_suite(found, codename, packages.suite)
    else:
        chosen = apt_sources.of_release(found, codename)
    if not chosen:
        raise LocalError(f"{packages.title}: no package archive is named in {apt}; {_manual_install(packages)}")
    return chosen


def machine_sources(folder: Path) -> Iterator[apt_sources.Source]:
    """Yield every entry of the machine's apt sources."""
    for path in (folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))):
        if path.is_file():
            yield from apt_sources.parse_one_line(path.read_text())
    for path in sorted(folder.glob("sources.list.d/*.sources")):
        yield from apt_sources.parse_deb822(path.read_text())


def _release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def is_debian() -> bool:
    """Return whether this system is Debian itself, whose archive has the suite ``sid``."""
    return _release().get("ID") == "debian"


def _remove_unneeded(root: Path, programs: Sequence[str]) -> None:
    for folder in _NOT_NEEDED_TO_RUN:
        shutil.rmtree(root / folder, ignore_errors=True)
    for program in (root / "usr" / "bin").glob("*"):
        if program.name not in programs:
            program.unlink()


def missing_tools() -> list[str]:
    """Return the programs that are needed to fetch packages and are missing."""
    return [program for program in _NEEDED if shutil.which(program) is None]


def _require_apt(packages: PackageSet) -> None:
    missing = missing_tools()
    if missing:
        raise LocalError(
            f"{packages.title} is not installed, and without {' and '.join(missing)} it cannot be unpacked for this "
            f"user alone; {_manual_install(packages)}"
        )


def _manual_install(packages: PackageSet) -> str:
    return f"install {packages.title} with this system's package manager, so that its server is on PATH or in /usr/sbin"


def _run(command: Sequence[str], packages: PackageSet, *, timeout: float) -> None:
    answer = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        # In English, because the last lines go into our own messages.
        env=os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        timeout=timeout,
        check=False,
    )
    if answer.returncode != 0:
        said = " ".join((answer.stderr or answer.stdout).strip().splitlines()[-_LAST_LINES:])
        raise LocalError(f"{packages.title} could not be fetched ({command[0]}): {said}; {_manual_install(packages)}")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    # The system releases the lock when its holder ends, so a killed process blocks no other.
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
