"""Run SQLAlchemy's own dialect test-suite with a plain engine and with ours, and compare test by test.

Usage: .venv/bin/python tools/dialect_suite.py [DRIVER...] [-k EXPRESSION] [--alone] [--json FILE]

Each driver gets a throw-away server of its own. Exit status 1 when a test ends differently with ours.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import URL, make_url

from rdskit.local.engines.mysql.throwaway import throwaway_mariadb, throwaway_mysql
from rdskit.local.engines.postgres.throwaway import throwaway_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

DRIVERS = ("postgresql+psycopg", "postgresql+asyncpg", "mysql+pymysql", "mysql+asyncmy", "mariadb+pymysql")
OUTCOMES = ("passed", "skipped", "failed")
# What the suite's own documentation asks for (README.unittests): a database, and two more schemas.
SCHEMAS = ("test_schema", "test_schema_2")
TWO_PHASE = {"max_prepared_transactions": "10"}
SUITE = "from sqlalchemy.testing.suite import *\n"
CONFIGURATION = """
[sqla_testing]
requirement_cls=sqlalchemy.testing.requirements:SuiteRequirements
profile_file=profiles.txt
"""
# To tell MariaDB from MySQL, the suite's set-up connects by the dialect alone, past create_engine and its plugins.
SET_UP = """
from sqlalchemy.dialects.mysql.base import MySQLDialect

look = MySQLDialect._is_mariadb_from_url.__func__
MySQLDialect._is_mariadb_from_url = classmethod(
    lambda dialect, url: look(dialect, url.difference_update_query(["plugin", "tls"]))
)
"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the suite ended with one driver, without us and with us: outcome by test."""

    driver: str
    plain: dict[str, str]
    ours: dict[str, str]

    @property
    def different(self) -> list[str]:
        """The tests that do not end the same way, or ran on one side only."""
        tests = sorted(self.plain.keys() | self.ours.keys())
        return [test for test in tests if self.plain.get(test) != self.ours.get(test)]

    def row(self) -> str:
        """One line of the table."""
        cells = [f"{count(side)[outcome]:>7}" for outcome in OUTCOMES for side in (self.plain, self.ours)]
        return f"{self.driver:<20}{''.join(cells)}{len(self.different):>11}"


def count(outcomes: dict[str, str]) -> collections.Counter[str]:
    """How many tests ended in which way."""
    return collections.Counter(outcomes.values())


@contextlib.contextmanager
def server_url(driver: str, directory: Path) -> Iterator[URL]:
    """Start a server as the suite needs it, and yield its URL."""
    backend = driver.partition("+")[0]
    if backend == "postgresql":
        with throwaway_postgres(directory, settings=TWO_PHASE) as postgres:
            url = make_url(postgres.dsn).set(drivername="postgresql+psycopg").difference_update_query(["sslmode"])
            execute(url, "create database test")
            execute(
                url.set(database="test"), *(f"create schema {schema}" for schema in SCHEMAS), "create extension hstore"
            )
            yield url.set(drivername=driver, database="test")
    else:
        running = throwaway_mysql if backend == "mysql" else throwaway_mariadb
        with running(directory) as server:
            url = URL.create(f"{backend}+pymysql", server.superuser, server.password, server.host, server.port)
            names = ("test", *SCHEMAS)
            execute(url, *(f"create database {name} character set utf8mb4" for name in names))
            yield url.set(drivername=driver, database="test")


def execute(url: URL, *statements: str) -> None:
    """Run statements, each by itself."""
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def run_suite(url: URL, directory: Path, selection: str | None) -> dict[str, str]:
    """Run the suite against a URL; give each test's outcome."""
    directory.mkdir()
    (directory / "setup.cfg").write_text(CONFIGURATION)
    (directory / "test_suite.py").write_text(SUITE)
    (directory / "set_up.py").write_text(SET_UP)
    report = directory / "report.xml"
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(directory), "-q", "--tb=short"]
    command += ["-p", "sqlalchemy.testing.plugin.pytestplugin", "-p", "no:cacheprovider", "-p", "set_up"]
    command += ["--dburi", url.render_as_string(hide_password=False), "--junitxml", str(report), str(directory)]
    command += ["-k", selection] if selection else []
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(directory)}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    (directory / "output.txt").write_text(done.stdout + done.stderr)
    if not report.exists():
        raise SystemExit(f"the suite did not run:\n{done.stdout}{done.stderr}")
    return dict(outcomes(report))


def outcomes(report: Path) -> Iterator[tuple[str, str]]:
    """Each test of a report and how it ended."""
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - our own pytest wrote it
        name = f"{case.get('classname')}::{case.get('name')}"
        kinds = {child.tag for child in case}
        yield name, "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"


def compare(driver: str, directory: Path, selection: str | None, *, alone: bool = False) -> Comparison:
    """Run the suite twice on one server; with ``alone`` only with ours, where no test is expected to fail."""
    directory.mkdir()
    with server_url(driver, directory / "server") as url:
        plugged = url.update_query_dict({"plugin": "rdskit", "tls": "off"})
        ours = run_suite(plugged, directory / "ours", selection)
        if alone:
            return Comparison(driver, {test: "passed" if how == "failed" else how for test, how in ours.items()}, ours)
        return Comparison(driver, run_suite(url, directory / "plain", selection), ours)


def main() -> int:
    """Run, print the table, and say what differs."""
    parser = argparse.ArgumentParser(description="SQLAlchemy's dialect suite, plain and with plugin=rdskit.")
    parser.add_argument("drivers", nargs="*", metavar="DRIVER", help=f"of {', '.join(DRIVERS)}; all by default")
    parser.add_argument("-k", dest="selection", help="only tests that match, as for pytest")
    parser.add_argument("--alone", action="store_true", help="with rdskit only: no test may fail")
    parser.add_argument("--json", type=Path, help="write the outcomes of all tests there")
    arguments = parser.parse_args()
    print(f"SQLAlchemy {sqlalchemy.__version__}{'':<5}passed        skipped       failed     different")
    print(f"{'driver':<20}" + f"{'plain':>7}{'rdskit':>7}" * len(OUTCOMES))
    found: list[Comparison] = []
    with tempfile.TemporaryDirectory(prefix="rdskit-dialect-suite-") as folder:
        for driver in arguments.drivers or DRIVERS:
            place = Path(folder, driver.replace("+", "-"))
            found.append(compare(driver, place, arguments.selection, alone=arguments.alone))
            print(found[-1].row(), flush=True)
    for each in found:
        for test in each.different:
            print(f"{each.driver}: {test}: {each.plain.get(test)} plain, {each.ours.get(test)} with rdskit")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([as_json(each) for each in found], indent=1))
    return 1 if any(each.different or not count(each.ours)["passed"] for each in found) else 0


def as_json(each: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values for JSON."""
    return {"driver": each.driver, "plain": each.plain, "rdskit": each.ours, "different": each.different}


if __name__ == "__main__":
    sys.exit(main())
