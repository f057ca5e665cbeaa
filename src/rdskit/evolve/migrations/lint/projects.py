"""The SQL that an unchanged Alembic or Django project would send, asked from the project's own tools."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from rdskit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TIMEOUT: Final = 120.0  # seconds for one call of the project's tool
_REVISION: Final = re.compile(r"^-- Running upgrade (?P<names>.*)$", re.MULTILINE)
#: Statements of the tools themselves.
_OWN: Final = re.compile(r"\balembic_version\b|^(?:begin|commit)$", re.IGNORECASE)


class Revision(NamedTuple):
    """One revision of a project.

    Attributes:
        name: as the project calls it.
        sql: what it would send.
        transactional: whether it runs in one transaction.
    """

    name: str
    sql: str
    transactional: bool


def alembic_revisions(config: Path, revisions: str = "head") -> list[Revision]:
    """Return the SQL of an Alembic project, by revision.

    Args:
        config: its ``alembic.ini``.
        revisions: which, as ``alembic upgrade`` takes them: ``head``, ``abc:def``.

    Raises:
        ConfigError: Alembic is not installed, or the project's revisions cannot be rendered offline.
    """
    command = [sys.executable, "-m", "alembic", "-c", config.name, "upgrade", revisions, "--sql"]
    text = _run(command, config.parent, "alembic upgrade --sql")
    marks = list(_REVISION.finditer(text))
    found = []
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        body = text[mark.end() : following.start() if following else len(text)]
        found.append(Revision(mark["names"].strip(), _without_own(body), transactional=True))
    return found


def django_migrations(manage: Path, database: str = "default") -> list[Revision]:
    """Return the SQL of a Django project's own migrations, app by app.

    Args:
        manage: its ``manage.py``.
        database: the alias in ``DATABASES``.

    Raises:
        ConfigError: Django is not installed, or the project cannot be loaded.
    """
    found = []
    for app, name in _django_files(manage.parent):
        command = [sys.executable, manage.name, "sqlmigrate", app, name, "--database", database, "--no-color"]
        sql = _run(command, manage.parent, f"manage.py sqlmigrate {app} {name}")
        found.append(Revision(f"{app}.{name}", _without_own(sql), transactional="BEGIN;" in sql))
    return found


def _django_files(root: Path) -> list[tuple[str, str]]:
    """Return app and name of the project's own migrations; an app's label is taken to be the name of its folder.

    The files are listed, and not asked of ``showmigrations``, which needs the database.
    """
    files = [path for path in root.rglob("migrations/[0-9]*.py") if "site-packages" not in path.parts]
    return sorted((path.parent.parent.name, path.stem) for path in files)


def _without_own(sql: str) -> str:
    return ";\n".join(part for part in _statements(sql) if not _OWN.search(part.strip()))


def _statements(sql: str) -> Iterator[str]:
    # The tools write one statement after the other, each ended by a semicolon at the end of its line.
    for part in re.split(r";[ \t]*$", sql, flags=re.MULTILINE):
        if part.strip():
            yield part


def _run(command: list[str], folder: Path, words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [".", os.environ.get("PYTHONPATH")]))}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"`{words}` in {folder} did not end: {type(error).__name__}") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConfigError(f"`{words}` in {folder} failed: {last}")
    return done.stdout
