"""Debian packages unpacked into a cache of the user's own: servers without root, and without touching the system.

apt works with a state of its own: it sees no installed package, so everything that a server needs comes along, the C
library and its loader included. What is unpacked runs through that loader and is independent of the system's release.
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
#: Containers, for one, empty the system's own cache of packages after each update.
_NO_HOOKS = tuple(f"#clear APT::Update::{moment};" for moment in ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success"))


@dataclass(frozen=True, slots=True)
class PackageSet:
    """What to unpack together.

    Attributes:
        name: of the folder in the cache.
        title: for people.
        packages: the packages to ask for; their dependencies come along.
        programs: the programs of ``usr/bin`` to keep; each weighs some megabytes.
        suite: of the same archive to take them from; None takes the installed release.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    suite: str | None = None


def cache_directory() -> Path:
    """Where unpacked servers are kept: ``$XDG_CACHE_HOME/rdskit/servers``, by default below ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification: a relative path is invalid and ignored.
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "rdskit" / "servers"


def find_unpacked(packages: PackageSet, cache: Path) -> Path | None:
    """The folder of a set that is unpacked already; nothing is downloaded."""
    folder = cache / packages.name
    return folder if folder.is_dir() else None


def ensure_unpacked(packages: PackageSet, cache: Path, report: Callable[[str], None], apt: Path = _APT) -> Path:
    """Unpack a set unless that was done before; two processes that want it at once do it once.

    Args:
        packages: the set.
        cache: the folder of all sets.
        report: told what is going on, as this may take a minute.
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
        return find_unpacked(packages, cache) or _unpack(packages, cache, report, apt)


def _unpack(packages: PackageSet, cache: Path, report: Callable[[str], None], apt: Path) -> Path:
    # What an interrupted attempt has downloaded stays in the draft and is used; what it has unpacked may be half.
    draft = cache / f"{packages.name}.draft"
    root = draft / "root"
    shutil.rmtree(root, ignore_errors=True)
    report(f"{packages.title} is not installed: downloading it once into {cache}")
    archives = _download(packages, draft, apt)
    for archive in archives:
        _run(["dpkg", "-x", str(archive), str(root)], packages, timeout=_UNPACK_TIMEOUT)
    _remove_unneeded(root, packages.programs)
    target = cache / packages.name
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
        # The user that apt drops to when it is root may not enter a private cache.
        "APT::Sandbox::User": "",
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
    """Every entry of the machine's apt sources."""
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
    """Whether this system is Debian itself, whose archive has the suite ``sid``."""
    return _release().get("ID") == "debian"


def _remove_unneeded(root: Path, programs: Sequence[str]) -> None:
    for folder in _NOT_NEEDED_TO_RUN:
        shutil.rmtree(root / folder, ignore_errors=True)
    for program in (root / "usr" / "bin").glob("*"):
        if program.name not in programs:
            program.unlink()


def missing_tools() -> list[str]:
    """The programs that are needed to fetch packages and are not there."""
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
        env=os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        timeout=timeout,
        check=False,
    )
    if answer.returncode != 0:
        said = " ".join((answer.stderr or answer.stdout).strip().splitlines()[-_LAST_LINES:])
        raise LocalError(f"{packages.title} could not be fetched ({command[0]}): {said}; {_manual_install(packages)}")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    # The system releases the lock with its holder, so a killed one blocks nobody.
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
