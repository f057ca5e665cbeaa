"""What makes the databases of the tests, beside what the tests see of it."""

from __future__ import annotations

import pytest

from rdskit.integrations.pytest_plugin.databases import Databases, FamilyDatabases, PostgresDatabases

OWN = {
    "postgres": "select pg_backend_pid()::text",
    "mariadb": "select connection_id()",
    "mysql": "select connection_id()",
}
END = {"postgres": "select pg_terminate_backend({}, 5000)", "mariadb": "kill {}", "mysql": "kill {}"}


@pytest.mark.parametrize("engine", list(OWN))
def test_a_test_that_ends_every_connection_ends_no_other_test(request: pytest.FixtureRequest, engine: str) -> None:
    server = request.getfixturevalue(engine)
    databases: Databases = (PostgresDatabases if engine == "postgres" else FamilyDatabases)(server, None)
    ((number,),) = databases.administration.execute(OWN[engine])
    with server.connect() as another:
        another.execute(END[engine].format(number))
    assert databases.create("made_afterwards").url.endswith("/made_afterwards")
    databases.drop("made_afterwards")
    databases.close()
