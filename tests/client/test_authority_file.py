"""The file of authorities for drivers that read one: it exists whenever its path is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import make_url

from rdskit.client.targets.destination import Destination
from rdskit.client.tls.arguments import tls_arguments
from rdskit.integrations.sqlalchemy.connector import Connector
from rdskit.integrations.sqlalchemy.settings import Settings
from rdskit.kernel.targets import parse_target
from rdskit.kernel.topology import Role


def path_for(driver: str) -> Path:
    return Path(tls_arguments(driver, "verify-full", cleartext_password=False)["sslrootcert"])


@pytest.mark.parametrize("driver", ["psycopg", "psycopg_async"])
def test_a_file_that_a_cleaner_removed_is_written_anew(driver: str) -> None:
    before = path_for(driver)
    assert path_for(driver) == before
    text = before.read_text(encoding="utf-8")
    before.unlink()
    assert path_for(driver).read_text(encoding="utf-8") == text


def test_an_engine_does_not_hold_on_to_a_file_that_is_gone() -> None:
    dialect = make_url("postgresql+psycopg://db").get_dialect()()
    connector = Connector(Destination(parse_target("postgresql://app@db/shop"), None), Settings(), Role.WRITER)
    before = connector._common_arguments(dialect)
    assert connector._common_arguments(dialect) is before
    Path(before["sslrootcert"]).unlink()
    assert Path(connector._common_arguments(dialect)["sslrootcert"]).exists()
