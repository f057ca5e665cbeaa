"""Find the programs of MySQL and MariaDB: installed on the system, or unpacked from packages for this user."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from rdskit.errors import LocalError
from rdskit.local.engines import unpacked
from rdskit.local.engines.unpacked import PackageSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Product = Literal["MariaDB", "MySQL"]

_VERSION = re.compile(r"Ver (\d+\.\d+\.\d+)")

MARIADB_PACKAGES = PackageSet(
    name="mariadb",
    title="MariaDB",
    packages=("mariadb-server-core", "mariadb-client-core", "mariadb-backup"),
    programs=("mariadb", "mariadb-backup", "mariadb-binlog", "mariadb-dump", "mbstream"),
)
MYSQL_PACKAGES = PackageSet(
    name="mysql",
    title="MySQL",
    packages=("mysql-server-core", "mysql-client-core"),
    programs=("mysql", "mysqlbinlog", "mysqldump"),
    # Debian has MySQL in its unstable suite only; stable releases have MariaDB instead.
    suite="sid",
)
#: Ubuntu has MySQL in each release. Its packages are named by the series, such as mysql-server-core-8.0.
MYSQL_PACKAGES_UBUNTU = PackageSet(
    name="mysql",
    title="MySQL",
    packages=("mysql-server-core-8*", "mysql-client-core-8*"),
    programs=MYSQL_PACKAGES.programs,
)


@dataclass(frozen=True, slots=True)
class Installation:
    """One installation of MySQL or MariaDB.

    Attributes:
        product: MySQL or MariaDB.
        version: as the server prints it, such as ``"10.11.14"``.
        provider: name of the provider that found it, for ``rdskit local doctor``.
        server: the server's program.
        folders: folders of its other programs.
        share: its messages and bootstrap scripts.
        options: options with which the server finds its own files.
        loader: words put before each program; empty if the system's own loader runs it.
    """

    product: Product
    version: str
    provider: str
    server: Path
    folders: tuple[Path, ...]
    share: Path
    options: tuple[str, ...] = ()
    loader: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[int, int]:
        """Release series, such as ``(10, 11)``."""
        major, minor, *_ = map(int, self.version.split("."))
        return major, minor

    def command(self, program: Path | str) -> list[str]:
        """Return the words that run one of its programs.

        Raises:
            LocalError: the program is not installed.
        """
        path = program if isinstance(program, Path) else self._find(program)
        return [*self.loader, str(path)]

    def _find(self, program: str) -> Path:
        for folder in self.folders:
            if (folder / program).is_file():
                return folder / program
        raise LocalError(f"{program} of {self.product} {self.version} is not installed in {self.folders[0]}")


class Provider(Protocol):
    """Kind of place where MySQL or MariaDB may be installed."""

    @property
    def name(self) -> str:
        """Name as shown by ``rdskit local doctor``."""
        ...

    def find(self) -> Iterator[Installation]:
        """Yield every usable installation, the preferred one first; nothing is downloaded."""
        ...


class SystemServer:
    """Server that the system's package manager has installed, or one on PATH.

    Args:
        product: MySQL or MariaDB.
        programs: names of its server.
        companions: programs without which the server is of no use here.
    """

    name = "system"
    # Debian puts servers there, and an ordinary user's PATH does not have it.
    _sbin = Path("/usr/sbin")
    _shares = ("share/mysql", "share/mariadb")

    def __init__(self, product: Product, programs: Sequence[str], companions: Sequence[str]) -> None:
        self._product = product
        self._programs = programs
        self._companions = companions

    def find(self) -> Iterator[Installation]:
        """Yield the server on PATH or in ``/usr/sbin``."""
        if not all(map(shutil.which, self._companions)):
            return
        for program in self._programs:
            path = shutil.which(program) or shutil.which(program, path=str(self._sbin))
            if path:
                yield from self._inspect(Path(path).resolve())

    def _inspect(self, server: Path) -> Iterator[Installation]:
        # Asked, because ``mysqld`` may be either product: MariaDB packages install a link with that name.
        product, version = identify(str(server))
        base = server.parent.parent
        share = next((base / name for name in self._shares if (base / name).is_dir()), base / "share")
        companions = (Path(found).parent for name in self._companions if (found := shutil.which(name)))
        if product == self._product:
            folders = tuple(dict.fromkeys((base / "bin", server.parent, *companions)))
            yield Installation(product, version, self.name, server, folders, share)


class UnpackedServer:
    """Server from packages in this user's cache.

    Args:
        packages: set of packages that is unpacked.
        program: the server's name.
        cache: the folder of all sets; None uses the user's.
    """

    name = "unpacked"

    def __init__(self, packages: PackageSet, program: str, cache: Path | None = None) -> None:
        self._packages = packages
        self._program = program
        self._cache = cache

    def find(self) -> Iterator[Installation]:
        """Yield the unpacked server, if it was unpacked before."""
        root = unpacked.find_unpacked(self._packages, self._cache or unpacked.cache_directory())
        if root:
            yield self._inspect(root)

    def ensure(self, report: Callable[[str], None]) -> Installation:
        """Return the unpacked server; download and unpack it the first time."""
        return self._inspect(
            unpacked.ensure_unpacked(self._packages, self._cache or unpacked.cache_directory(), report)
        )

    def _inspect(self, root: Path) -> Installation:
        usr = root / "usr"
        loader = loader_of(root)
        server = usr / "sbin" / self._program
        product, version = identify(*loader, str(server))
        if product is None:
            raise LocalError(f"{server} cannot be run: remove {root}, and it is unpacked again")
        share = usr / "share" / "mysql"
        options = (
            # The compiled-in paths are those of a system installation, so each folder is named.
            f"--basedir={usr}",
            f"--plugin-dir={usr / 'lib' / 'mysql' / 'plugin'}",
            f"--lc-messages-dir={share}",
            f"--character-sets-dir={share / 'charsets'}",
        )
        folders = (usr / "bin", usr / "sbin")
        return Installation(product, version, self.name, server, folders, share, options, loader)


@functools.cache
def identify(*command: str) -> tuple[Product | None, str]:
    """Return product and version of a server's program; ``(None, "")`` if it does not run.

    Each program is run once for this.
    """
    try:
        answer = subprocess.run([*command, "--no-defaults", "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return None, ""
    version = _VERSION.search(answer.stdout)
    if answer.returncode != 0 or version is None:
        return None, ""
    return ("MariaDB" if "MariaDB" in answer.stdout else "MySQL"), version.group(1)


def loader_of(root: Path) -> tuple[str, ...]:
    """Return the words before a command that run a program of an unpacked set with the set's own libraries.

    Raises:
        LocalError: the set holds no loader.
    """
    libraries = [path for top in (root / "lib", root / "usr" / "lib") for path in sorted(top.glob("*-linux-gnu*"))]
    for folder in libraries:
        for loader in sorted(folder.glob("ld-linux*.so.*")):
            return (str(loader), "--library-path", ":".join(map(str, libraries)))
    raise LocalError(f"{root} has no dynamic loader: remove it, and it is unpacked again")


SYSTEM_MARIADB = SystemServer("MariaDB", ("mariadbd", "mysqld"), ("mariadb-backup",))
SYSTEM_MYSQL = SystemServer("MySQL", ("mysqld",), ())
UNPACKED_MARIADB = UnpackedServer(MARIADB_PACKAGES, "mariadbd")
UNPACKED_MYSQL = UnpackedServer(MYSQL_PACKAGES if unpacked.is_debian() else MYSQL_PACKAGES_UBUNTU, "mysqld")

MARIADB_PROVIDERS: tuple[Provider, ...] = (SYSTEM_MARIADB, UNPACKED_MARIADB)
MYSQL_PROVIDERS: tuple[Provider, ...] = (SYSTEM_MYSQL, UNPACKED_MYSQL)


def installed(providers: Iterable[Provider]) -> list[Installation]:
    """Return every installation that the providers find, the preferred one first; nothing is downloaded."""
    return [installation for provider in providers for installation in provider.find()]


def ensure_mariadb(report: Callable[[str], None] = lambda _: None) -> Installation:
    """Return the preferred MariaDB; unpack one into the user's cache if none is installed.

    Args:
        report: called with the progress, as a download takes some seconds.

    Raises:
        LocalError: it is not installed and cannot be unpacked.
    """
    return next(iter(installed(MARIADB_PROVIDERS)), None) or UNPACKED_MARIADB.ensure(report)


def ensure_mysql(report: Callable[[str], None] = lambda _: None) -> Installation:
    """Return the preferred MySQL; unpack one into the user's cache if none is installed.

    Args:
        report: called with the progress, as a download takes some seconds.

    Raises:
        LocalError: it is not installed and cannot be unpacked.
    """
    return next(iter(installed(MYSQL_PROVIDERS)), None) or UNPACKED_MYSQL.ensure(report)
