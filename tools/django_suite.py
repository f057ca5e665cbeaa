"""Run Django's own tests through rdskit's backends and through Django's, on real servers, and compare.

Usage: .venv/bin/python tools/django_suite.py [--engine postgres|mysql|mariadb]... [LABEL...]

The tests come from the source distribution of the Django that is installed, which pip downloads. The labels are those
of Django's ``runtests.py``; by default backends, transactions, transaction_hooks and migrations. What differs between
the two backends is printed test by test; the exit status is 1 if a test passes with Django's and fails with ours, other
than those that `EXPECTED` names with the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

from rdskit.local.engines.mysql.throwaway import throwaway_mariadb, throwaway_mysql
from rdskit.local.engines.postgres.throwaway import throwaway_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

LABELS = ["backends", "transactions", "transaction_hooks", "migrations"]
SERVERS: dict[str, Callable[[Path], AbstractContextManager[Any]]] = {
    "postgres": throwaway_postgres,
    "mysql": throwaway_mysql,
    "mariadb": throwaway_mariadb,
}
BACKENDS = {"postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
_OUTCOME = re.compile(
    r"^(\w+) \(([\w.]+)\)(?:\n.*?)?? \.\.\. .*?(ok|FAIL|ERROR|skipped|expected failure)", re.MULTILINE
)

#: Tests that cannot pass with ours, by the beginning of their names, and why.
EXPECTED: dict[str, str] = {
    "backends.postgresql.tests.Tests.test_connect_pool": "psycopg's pool is refused",
    "backends.postgresql.tests.Tests.test_pooling_health_checks": "psycopg's pool is refused",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of the tests said, by test."""

    tests: dict[str, str]
    seconds: str

    def count(self, word: str) -> int:
        """How many tests ended so."""
        return sum(1 for outcome in self.tests.values() if outcome == word)


def sources(folder: Path) -> Path:
    """Download Django's source and return the directory of its tests."""
    wanted = f"django=={django.__version__}"
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", wanted]
    subprocess.run(command, cwd=folder, check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz") / "tests"


def settings(entry: dict[str, Any]) -> str:
    """Return the text of a settings module for two databases."""
    names = {"default": {**entry, "NAME": "one"}, "other": {**entry, "NAME": "two"}}
    return (
        "import pymysql\npymysql.install_as_MySQLdb()\n"
        f"DATABASES = {names!r}\n"
        "SECRET_KEY = 'of a test'\nUSE_TZ = False\nDEFAULT_AUTO_FIELD = 'django.db.models.AutoField'\n"
        "PASSWORD_HASHERS = ['django.contrib.auth.hashers.MD5PasswordHasher']\n"
    )


def run(tests: Path, entry: dict[str, Any], labels: list[str]) -> Outcome:
    """Run Django's tests with one backend."""
    (tests / "suite_settings.py").write_text(settings(entry))
    command = [sys.executable, "runtests.py", "--settings", "suite_settings", "--parallel", "1", "--noinput", "-v", "2"]
    ended = subprocess.run([*command, *labels], cwd=tests, capture_output=True, text=True, check=False)
    took = re.search(r"^Ran \d+ tests in ([\d.]+s)", ended.stderr, re.MULTILINE)
    if took is None:
        raise SystemExit(ended.stdout[-3000:] + ended.stderr[-3000:])
    found = _OUTCOME.findall(ended.stderr)
    return Outcome({where if where.endswith(name) else f"{where}.{name}": how for name, where, how in found}, took[1])


@contextlib.contextmanager
def entries(engine: str, folder: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield entries of DATABASES for Django's backend and for rdskit's, on a server of their own."""
    folder.mkdir()
    with SERVERS[engine](folder) as server:
        login = {"USER": server.superuser, "PASSWORD": server.password, "HOST": server.host, "PORT": server.port}
        name = BACKENDS[engine]
        ours = {"ENGINE": f"rdskit.integrations.django.{name}", "OPTIONS": {"tls": "off"}}
        yield {"ENGINE": f"django.db.backends.{name}", **login}, {**ours, **login}


def compare(engine: str, theirs: Outcome, ours: Outcome) -> list[str]:
    """Print both outcomes; gives the tests that only ours fails, and should not."""
    for name, outcome in (("django.db.backends", theirs), ("rdskit", ours)):
        failed = outcome.count("FAIL") + outcome.count("ERROR")
        print(
            f"{engine:9} {name:19} {len(outcome.tests)} tests in {outcome.seconds}: {outcome.count('ok')} ok, "
            f"{failed} failed, {outcome.count('skipped')} skipped, {outcome.count('expected failure')} expected to fail"
        )
    worse = []
    for test in sorted(theirs.tests.keys() | ours.tests.keys()):
        before, after = theirs.tests.get(test, "not run"), ours.tests.get(test, "not run")
        if before == after:
            continue
        reason = next((why for start, why in EXPECTED.items() if test.startswith(start)), None)
        print(f"  {test}: {before} with Django's, {after} with ours{f' ({reason})' if reason else ''}")
        worse += [test] if reason is None and before == "ok" else []
    return worse


def main() -> int:
    """Run and compare."""
    parser = argparse.ArgumentParser(description="Django's own tests through rdskit's backends and through Django's.")
    parser.add_argument("--engine", action="append", choices=list(SERVERS))
    parser.add_argument("labels", nargs="*", metavar="LABEL")
    arguments = parser.parse_args()
    worse: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tests = sources(folder)
        for engine in arguments.engine or SERVERS:
            with entries(engine, folder / engine) as (django_s, rdskit_s):
                labels = arguments.labels or LABELS
                worse += compare(engine, run(tests, django_s, labels), run(tests, rdskit_s, labels))
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
