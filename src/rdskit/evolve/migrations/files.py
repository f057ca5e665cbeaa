"""Parse a directory of migrations.

A file is called ``YYYYMMDD_HHMM_name.sql`` or ``.py``. ``.postgres.sql``, ``.mysql.sql`` and ``.mariadb.sql`` are
variants for one product; the closest is taken. A SQL file has the sections ``-- up`` and ``-- down``; without either,
all of it goes up.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Final

from rdskit.errors import ConfigError
from rdskit.evolve.migrations.model import Migration, Script, Statement
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.split import split

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_FILE: Final = re.compile(
    r"(?P<version>\d{8}_\d{4}_[A-Za-z0-9_]+)(?:\.(?P<product>postgres|mysql|mariadb))?\.(?P<suffix>sql|py)"
)
_MARKER: Final = re.compile(r"^[ \t]*--[ \t]*(up|down)[ \t]*$", re.IGNORECASE)
_NO_TRANSACTION: Final = re.compile(r"^[ \t]*--[ \t]*no[ \t]+transaction[ \t]*$", re.IGNORECASE | re.MULTILINE)
_LOCK_TIMEOUT: Final = re.compile(
    r"^[ \t]*--[ \t]*lock[ \t]+timeout[ \t]+(?P<number>\d+(?:\.\d+)?)[ \t]*(?P<unit>ms|s)[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_WAIVER: Final = re.compile(
    r"^[ \t]*--[ \t]*waive[ \t]+(?P<rule>[a-z0-9-]+)[ \t]*:[ \t]*(?P<reason>\S.*)$", re.IGNORECASE
)
#: Lines that look like a directive but are misspelled: without an error they would have no effect.
_NEARLY: Final = re.compile(r"^[ \t]*--[ \t]*(?:waive\b|lock[ \t]+timeout\b|no[ \t]+transaction\b)", re.IGNORECASE)
_STAMP: Final = "%Y%m%d_%H%M"
#: Which variants a product takes, the closest first; None is the file without one.
_VARIANTS: Final = {
    "postgres": ("postgres", None),
    "mysql": ("mysql", None),
    "mariadb": ("mariadb", "mysql", None),
}
_IGNORED: Final = frozenset({"__init__.py", "env.py", "README", "README.md"})


def read_directory(directory: Path, product: str) -> list[Migration]:
    """Read every migration of a directory for one product, in the order of their versions.

    Args:
        directory: where the files are.
        product: ``postgres``, ``mysql`` or ``mariadb``.

    Raises:
        ConfigError: the directory is missing, a file's name or text cannot be read, or two files have one version.
    """
    if not directory.is_dir():
        raise ConfigError(
            f"there is no directory {str(directory)!r}: make the first migration with `rdskit migrate new NAME`"
        )
    chosen: dict[str, dict[str | None, Path]] = {}
    for path in sorted(directory.iterdir()):
        if path.suffix not in {".sql", ".py"} or path.name in _IGNORED or path.name.startswith("."):
            continue
        found = _FILE.fullmatch(path.name)
        if found is None:
            raise ConfigError(
                f"{path} is not called like a migration: YYYYMMDD_HHMM_name.sql, .postgres.sql, .mysql.sql, "
                ".mariadb.sql or .py"
            )
        variants = chosen.setdefault(found["version"], {})
        if found["product"] in variants:
            raise ConfigError(f"{path} and {variants[found['product']].name} are one version: keep one of them")
        variants[found["product"]] = path
    order = _VARIANTS[product]
    paths = (next((paths[each] for each in order if each in paths), None) for paths in chosen.values())
    return sorted((read_file(path, product) for path in paths if path is not None), key=lambda each: each.version)


def read_file(path: Path, product: str) -> Migration:
    """Parse one migration's file.

    Args:
        path: its file.
        product: the product whose SQL it contains.

    Raises:
        ConfigError: it is not UTF-8, has two sections of one kind, or a directive that is not understood.
    """
    found = _FILE.fullmatch(path.name)
    version = found["version"] if found else path.stem
    try:
        source = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as UTF-8 text: {type(error).__name__}") from error
    if path.suffix == ".py":
        return Migration(version, path, source)
    dialect = Dialect.POSTGRES if product == "postgres" else Dialect.MYSQL
    sections = _sections(path, source)
    scripts = {name: _script(path, lines, sections["head"], dialect) for name, lines in sections.items()}
    if scripts["head"].statements:
        first = scripts["head"].statements[0]
        raise ConfigError(f"{path}:{first.line}: a statement stands before the first section: move it below `-- up`")
    up, down = scripts.get("up"), scripts.get("down")
    if up is None or not up.statements:
        raise ConfigError(f"{path} has nothing to do: write its statements below `-- up`")
    return Migration(version, path, source, up, down if down and down.statements else None)


Lines = list[tuple[int, str]]


def _sections(path: Path, source: str) -> dict[str, Lines]:
    """Return the numbered lines of each section; ``head`` is what stands before the first."""
    found: dict[str, Lines] = {"head": []}
    current = "head"
    for number, line in enumerate(source.splitlines(), 1):
        marker = _MARKER.match(line)
        if marker:
            current = marker[1].lower()
            if current in found:
                raise ConfigError(f"{path}:{number}: a second section `-- {current}`: one file has one of each")
            found[current] = []
        else:
            found[current].append((number, line))
    return found if len(found) > 1 else {"head": [], "up": found["head"]}


def _script(path: Path, lines: Lines, head: Lines, dialect: Dialect) -> Script:
    text = "\n".join(line for _, line in lines)
    directives = "\n".join(line for _, line in (lines if lines is head else [*head, *lines]))
    _check_directives(path, lines)
    timeout = _LOCK_TIMEOUT.search(directives)
    seconds = float(timeout["number"]) / (1000 if timeout["unit"].lower() == "ms" else 1) if timeout else None
    try:
        parts = split(text, dialect)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    statements = []
    for statement, offset in parts:
        index = text.count("\n", 0, offset)
        statements.append(Statement(statement, lines[index][0], _waivers(lines, index)))
    return Script(tuple(statements), not _NO_TRANSACTION.search(directives), seconds)


def _waivers(lines: Lines, index: int) -> dict[str, str]:
    """Return the waivers in the comment lines directly above a statement."""
    found: dict[str, str] = {}
    while index > 0 and lines[index - 1][1].lstrip().startswith("--"):
        index -= 1
        if waiver := _WAIVER.match(lines[index][1]):
            found[waiver["rule"].lower()] = waiver["reason"].strip()
    return found


def _check_directives(path: Path, lines: Lines) -> None:
    for number, line in lines:
        if _NEARLY.match(line) and not any(each.match(line) for each in (_NO_TRANSACTION, _LOCK_TIMEOUT, _WAIVER)):
            raise ConfigError(
                f"{path}:{number}: {line.strip()!r} is not understood: write `-- no transaction`, `-- lock timeout 2s` "
                "or `-- waive RULE: reason`"
            )


def new_file(directory: Path, name: str, now: dt.datetime, existing: Iterable[str] = ()) -> Path:
    """Write an empty migration and return its path.

    Args:
        directory: where; made if it is missing.
        name: what it does, in a few words.
        now: the time that orders it.
        existing: versions that are there; the new one comes behind them all.

    Raises:
        ConfigError: the name has no letter or digit, or the file cannot be written.
    """
    words = "_".join(re.findall(r"[a-z0-9]+", name.lower()))[:80]
    if not words:
        raise ConfigError(f"{name!r} is no name for a migration: use a few letters or digits, such as add_users")
    stamps = (each[:13] for each in existing if _FILE.fullmatch(f"{each}.sql"))
    latest = max((dt.datetime.strptime(each, _STAMP).replace(tzinfo=now.tzinfo) for each in stamps), default=None)
    if latest is not None:
        now = max(now, latest + dt.timedelta(minutes=1))  # behind all others, by the minute
    path = directory / f"{now:{_STAMP}}_{words}.sql"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write("-- up\n\n\n-- down\n\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}; choose another place with --dir") from error
    return path
