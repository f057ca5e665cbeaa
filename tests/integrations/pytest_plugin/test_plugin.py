"""The plugin as a user has it: projects of their own, run by pytest in a process of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.plugins.rounds import soak

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = "pytester"

CONNECT = {
    "postgres": "import psycopg\n\ndef connect(d):\n    return psycopg.connect(d.url)\n",
    "mysql": (
        "import pymysql\n\ndef connect(d):\n"
        "    return pymysql.connect(host=d.host, port=d.port, user=d.user, password=d.password, database=d.name)\n"
    ),
}
CONNECT["mariadb"] = CONNECT["mysql"]
TABLE = "create table notes (id int primary key, text varchar(20))"


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    if not (pytester.path / "tox.ini").exists():
        pytester.makeini("[pytest]\n")  # else the options of this very checkout would count
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # no other plugin of this checkout, and ours by its name
        return pytester.runpytest_subprocess("-W", "error", "-p", "rdskit", *arguments, timeout=100)


@pytest.fixture
def project(pytester: pytest.Pytester) -> Path:
    """Write a project whose four tests each create the same table, in what should be a database of their own."""
    pytester.makeini("[pytest]\naddopts = --strict-config -p no:cacheprovider\n")
    return pytester.path


@pytest.mark.parametrize("engine", ["postgres", "mysql", *soak("mariadb")])
def test_each_test_has_a_database_of_its_own(pytester: pytest.Pytester, project: Path, engine: str) -> None:
    (project / "test_notes.py").write_text(
        f"import pytest\n{CONNECT[engine]}\n"
        "seen = set()\n\n"
        "@pytest.mark.parametrize('number', range(4))\n"
        f"def test_note(rdskit_{engine}_database, number):\n"
        f"    assert rdskit_{engine}_database.name not in seen\n"
        f"    seen.add(rdskit_{engine}_database.name)\n"
        f"    connection = connect(rdskit_{engine}_database)\n"
        "    cursor = connection.cursor()\n"
        f"    cursor.execute('{TABLE}')\n"
        "    cursor.execute('insert into notes values (1, %s)', ('x',))\n"
        "    connection.commit()\n"
        "    cursor.execute('select count(*) from notes')\n"
        "    assert cursor.fetchone() == (1,)\n"
        "    connection.close()\n"
    )
    run(pytester).assert_outcomes(passed=4)


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_the_schema_is_there_and_what_a_test_writes_is_not(
    pytester: pytest.Pytester, project: Path, engine: str
) -> None:
    (project / "conftest.py").write_text(
        f"import pytest\n{CONNECT[engine]}\n"
        "calls = []\n\n"
        "@pytest.fixture(scope='session')\ndef rdskit_schema():\n"
        "    def fill(database):\n"
        "        calls.append(database.name)\n"
        "        connection = connect(database)\n"
        f"        connection.cursor().execute('{TABLE}')\n"
        "        connection.commit()\n"
        "        connection.close()\n"
        "    return fill\n\n"
        "def pytest_terminal_summary(terminalreporter):\n"
        "    terminalreporter.write_line(f'schema made {len(calls)} times')\n"
    )
    (project / "test_notes.py").write_text(
        "import pytest\nfrom conftest import connect\n\n"
        "@pytest.mark.parametrize('number', range(3))\n"
        f"def test_note(rdskit_{engine}_database, number):\n"
        f"    connection = connect(rdskit_{engine}_database)\n"
        "    cursor = connection.cursor()\n"
        "    cursor.execute(\"insert into notes values (1, 'x')\")\n"
        "    connection.commit()\n"
        "    connection.close()\n"
    )
    result = run(pytester)
    result.assert_outcomes(passed=3)
    made = int(re.search(r"schema made (\d+) times", result.stdout.str())[1])  # type: ignore[index] # it is printed
    assert made == 1 if engine == "postgres" else made >= 3


def test_a_schema_that_fails_fails_the_tests_that_need_it(pytester: pytest.Pytester, project: Path) -> None:
    (project / "test_notes.py").write_text(
        "import pytest\n\n"
        "@pytest.fixture(scope='session')\ndef rdskit_schema():\n"
        "    def fill(database):\n        raise ValueError('no such migration')\n"
        "    return fill\n\n"
        "def test_one(rdskit_postgres_database):\n    pass\n\n"
        "def test_two(rdskit_postgres_database):\n    pass\n"
    )
    result = run(pytester)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["E*ValueError: no such migration"])


def test_a_connection_that_a_test_forgets_does_not_keep_its_database(pytester: pytest.Pytester, project: Path) -> None:
    (project / "test_forgetful.py").write_text(
        "import psycopg, pymysql\n\nkept = []\n\n"
        "def test_postgres(rdskit_postgres_database):\n"
        "    kept.append(psycopg.connect(rdskit_postgres_database.url))\n"
        "    kept[-1].execute('create table t (id int)')\n\n"
        "def test_mariadb(rdskit_mariadb_database):\n"
        "    d = rdskit_mariadb_database\n"
        "    c = pymysql.connect(host=d.host, port=d.port, user=d.user, password=d.password, database=d.name)\n"
        "    kept.append(c)\n"
        "    c.cursor().execute('create table t (id int)')\n"
        "    c.cursor().execute('insert into t values (1)')\n"
    )
    run(pytester).assert_outcomes(passed=2)


def test_workers_of_xdist_do_not_meet(pytester: pytest.Pytester, project: Path) -> None:
    (project / "test_notes.py").write_text(
        f"import pytest\n{CONNECT['postgres']}\n\n"
        "@pytest.mark.parametrize('number', range(6))\n"
        "def test_note(rdskit_postgres_database, number):\n"
        "    with connect(rdskit_postgres_database) as connection:\n"
        f"        connection.execute('{TABLE}')\n"
    )
    run(pytester, "-p", "xdist", "-n", "2").assert_outcomes(passed=6)


def test_settings_reach_the_server(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        "[pytest]\n"
        "rdskit_postgres_settings =\n    work_mem = 7MB\n"
        "rdskit_mariadb_settings =\n    max_connections = 77\n"
    )
    pytester.makepyfile(
        "def test_it(rdskit_postgres, rdskit_mariadb):\n"
        "    with rdskit_postgres.connect() as session:\n"
        "        assert session.execute('show work_mem') == [('7MB',)]\n"
        "    with rdskit_mariadb.connect() as session:\n"
        "        assert session.execute('select @@max_connections') == [('77',)]\n"
    )
    run(pytester).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (
            "rdskit_postgres_settings = work_mem",
            "rdskit_postgres_settings: 'work_mem' is not a setting; write name = value",
        ),
        ("rdskit_postgres_major = newest", "rdskit_postgres_major = newest is not a major version"),
        ("rdskit_postgres_major = 7", "PostgreSQL 7 is not installed"),
        ("rdskit_spare_databases = none", "rdskit_spare_databases = none is not a number of databases"),
    ],
)
def test_an_option_that_cannot_be_is_refused(pytester: pytest.Pytester, option: str, said: str) -> None:
    pytester.makeini(f"[pytest]\n{option}\n")
    pytester.makepyfile("def test_it(rdskit_postgres_database):\n    pass\n")
    result = run(pytester)
    result.assert_outcomes(errors=1)
    assert said in result.stdout.str()


def test_the_local_rds_is_real(pytester: pytest.Pytester, project: Path) -> None:
    (project / "test_local.py").write_text(
        "import asyncio, boto3, rdskit\n\n"
        "def test_it(rdskit_local):\n"
        "    target = rdskit_local.create('orders', MultiAZ=True)\n"
        "    assert boto3.client('rds').meta.endpoint_url == rdskit_local.endpoint\n"
        "    async def count():\n"
        "        async with rdskit.connect(target, credentials=rdskit_local.credentials('orders')) as db:\n"
        "            await db.execute('create table notes (id int)')\n"
        "            await asyncio.to_thread(rdskit_local.fail_over, 'orders')\n"
        "            await db.execute('insert into notes values (1)')\n"
        "            return await db.fetch_value('select count(*) from notes')\n"
        "    assert asyncio.run(count()) == 1\n"
        "    rdskit_local.delete('orders')\n"
    )
    run(pytester).assert_outcomes(passed=1)


def test_a_project_that_uses_nothing_of_it_loads_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\n\n"
        "def test_it(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.hasplugin('rdskit')\n"
        "    heavy = 'boto3 psycopg pymysql asyncpg rdskit.local rdskit.integrations.pytest_plugin.servers'.split()\n"
        "    assert [name for name in heavy if name in sys.modules] == []\n"
    )
    run(pytester).assert_outcomes(passed=1)


def test_every_fixture_says_what_it_gives(pytester: pytest.Pytester) -> None:
    shown = run(pytester, "--fixtures").stdout.str()
    for name in ("postgres", "mysql", "mariadb", "postgres_database", "local", "schema"):
        assert re.search(rf"^rdskit_{name}\b.*\n    \S", shown, re.MULTILINE), name
