"""Oracle and SQL Server: what their drivers are given. No real server of either was asked."""

from __future__ import annotations

import ssl

import pytest
from sqlalchemy import make_url

import rdskit
from rdskit.integrations.sqlalchemy.driver_errors import reported_by
from rdskit.integrations.sqlalchemy.oracle_mssql import OracleMssqlConnector, driver_arguments
from rdskit.integrations.sqlalchemy.settings import Settings
from rdskit.kernel.ports import Login

LOGIN = Login("app", "se;cr}et")


class Dialect:
    """All that is asked of a dialect here."""

    def __init__(self, name: str) -> None:
        self.name = name


class OracleDetails:
    """The object that oracledb puts into its exceptions."""

    code = 8177

    def __str__(self) -> str:
        return "ORA-08177: can't serialize access for this transaction"


def test_oracle_goes_over_verified_tls() -> None:
    url = make_url("oracle+oracledb://db?service_name=ORCL")
    _, named = driver_arguments("oracledb", url, Settings(), LOGIN, [], {"dsn": "(DESCRIPTION=…)", "events": True})
    context = named.pop("ssl_context")
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert named == {
        "events": True,
        "user": "app",
        "password": "se;cr}et",
        "service_name": "ORCL",
        "protocol": "tcps",
        "ssl_server_dn_match": True,
        "host": "db",
        "port": 2484,
    }


def test_oracle_without_tls_keeps_the_dialects_dsn() -> None:
    url = make_url("oracle+oracledb://db/ORCL")
    _, named = driver_arguments("oracledb", url, Settings(tls="off"), LOGIN, [], {"dsn": "x"})
    assert named == {"dsn": "x", "user": "app", "password": "se;cr}et"}


@pytest.mark.parametrize(
    ("tls", "end"),
    [
        ("verify-full", "Encrypt=yes;TrustServerCertificate=no"),
        ("require", "Encrypt=yes;TrustServerCertificate=yes"),
        ("off", "Encrypt=no;TrustServerCertificate=no"),
    ],
)
@pytest.mark.parametrize("who", ["Trusted_Connection=Yes", "UID=old;PWD={o}};ld}"])
def test_odbc_logs_in_as_told(tls: str, end: str, who: str) -> None:
    url = make_url("mssql+pyodbc://db/shop")
    text = f"DRIVER={{ODBC Driver 18 for SQL Server}};Server=db;Database=shop;{who}"
    (found,), _ = driver_arguments("pyodbc", url, Settings(tls=tls), LOGIN, [text], {})
    assert (
        found
        == f"DRIVER={{ODBC Driver 18 for SQL Server}};Server=db;Database=shop;UID={{app}};PWD={{se;cr}}}}et}};{end}"
    )


@pytest.mark.parametrize(
    ("url", "settings", "words"),
    [
        ("mssql+pyodbc://db/shop", Settings(credentials="iam"), "has no IAM tokens"),
        ("oracle+oracledb://db/ORCL", Settings(target="rds://orders"), "by a host in the SQLAlchemy URL"),
        ("oracle+oracledb://", Settings(), "by a host in the SQLAlchemy URL"),
    ],
)
def test_what_these_engines_do_not_know_is_refused(url: str, settings: Settings, words: str) -> None:
    with pytest.raises(rdskit.ConfigError, match=words):
        OracleMssqlConnector(make_url(url), settings)


def test_pymssql_cannot_verify_and_says_so() -> None:
    url = make_url("mssql+pymssql://db/shop")
    with pytest.raises(rdskit.ConfigError, match="use pyodbc"):
        driver_arguments("pymssql", url, Settings(), LOGIN, [], {})
    _, named = driver_arguments("pymssql", url, Settings(tls="require"), LOGIN, [], {"server": "db"})
    assert named == {"server": "db", "encryption": "require", "user": "app", "password": "se;cr}et"}


@pytest.mark.parametrize(
    ("backend", "error", "number"),
    [
        ("oracle", Exception(OracleDetails()), 8177),
        (
            "mssql",
            Exception("40001", "[40001] [Microsoft][ODBC Driver 18] deadlock victim (1205) (SQLExecDirectW)"),
            1205,
        ),
        ("mssql", Exception(1205, b"deadlock victim"), 1205),
    ],
)
def test_error_numbers_are_found_in_each_drivers_exceptions(backend: str, error: Exception, number: int) -> None:
    reported = reported_by(error, Dialect(backend))  # type: ignore[arg-type]  # a dialect's name is all it reads
    assert reported.errno == number
