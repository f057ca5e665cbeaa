"""What DATABASES may say, and what the router decides, on plain values."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from rdskit.integrations.django import pin, reading_from_replicas
from rdskit.integrations.django.mysql.dialect import PyMySQL
from rdskit.integrations.django.policy import Aliases, Reading, alias_for_read
from rdskit.integrations.django.settings import complete, read_settings
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.targets import Engine
from rdskit.kernel.topology import Role


def entry(**given: Any) -> dict[str, Any]:
    """Return an entry as Django completes it."""
    empty: dict[str, Any] = dict.fromkeys(("HOST", "PORT", "NAME", "USER", "PASSWORD"), "")
    return {**empty, "OPTIONS": {}, "TEST": {"MIRROR": None}, **given}


def test_a_host_of_its_own() -> None:
    settings = read_settings(entry(HOST="db.example", USER="app", PASSWORD="p@ss"), Engine.MYSQL)
    assert settings.target.endpoint == Endpoint("db.example", 3306)
    assert (settings.target.user, settings.target.password) == ("app", "p@ss")
    assert (settings.tls, settings.role) == ("verify-full", Role.WRITER)
    assert "p@ss" not in repr(settings)


def test_an_identifier() -> None:
    options = {"credentials": "iam", "timeout": 5, "sql_mode": "ANSI"}
    settings = read_settings(entry(HOST="rds://orders", USER="app", OPTIONS=options), Engine.POSTGRES)
    assert (settings.target.identifier, settings.target.user) == ("orders", "app")
    assert (settings.credentials, settings.timeout) == ("iam", 5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"HOST": ""}, "give a host name, rds://IDENTIFIER"),
        ({"HOST": "/var/run/postgresql"}, "use Django's own backend"),
        ({"HOST": "mysql://db"}, "is not a host"),
        ({"HOST": "db", "OPTIONS": {"pool": True}}, "leave it out and set CONN_MAX_AGE"),
        ({"HOST": "db", "OPTIONS": {"sslmode": "disable"}}, r"OPTIONS\['sslmode'\] is decided by OPTIONS\['tls'\]"),
        ({"HOST": "db", "OPTIONS": {"credentials": "vault"}}, "credentials='vault' is not known"),
        ({"HOST": "db", "OPTIONS": {"credentials": "iam", "tls": "off"}}, "would send the token in the clear"),
        ({"HOST": "rds://orders:5432"}, "takes no port"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=said):
        read_settings(entry(**given), Engine.POSTGRES)


def test_a_reader_has_what_its_writer_has() -> None:
    writer = entry(HOST="rds://orders", NAME="shop", USER="app", OPTIONS={"credentials": "iam"})
    reader = entry(OPTIONS={"reader_of": "default", "timeout": 3})
    for _ in range(2):
        complete(reader, {"default": writer, "reader": reader})
    assert (reader["HOST"], reader["NAME"], reader["USER"]) == ("rds://orders", "shop", "app")
    assert reader["OPTIONS"] == {"credentials": "iam", "reader_of": "default", "timeout": 3}
    assert reader["TEST"]["MIRROR"] == "default"
    assert read_settings(reader, Engine.POSTGRES).role is Role.READER


@pytest.mark.parametrize("named", ["unknown", "reader"])
def test_a_reader_of_no_writer_is_refused(named: str) -> None:
    reader = entry(OPTIONS={"reader_of": named})
    with pytest.raises(ImproperlyConfigured, match="names no writer in DATABASES"):
        complete(reader, {"default": entry(), "reader": reader})


ALIASES = Aliases({"reader": "default"})


@pytest.mark.parametrize(
    ("near", "reading", "in_transaction", "alias"),
    [
        ("default", Reading(), False, "reader"),
        ("reader", Reading(), False, "reader"),
        ("default", Reading(pinned={"default"}), False, "default"),
        ("reader", Reading(pinned={"default"}), False, "default"),
        ("default", Reading(pinned={"other"}), False, "reader"),
        ("default", Reading(), True, "default"),
        ("default", None, False, "default"),
        ("other", Reading(), False, None),
    ],
)
def test_where_a_read_goes(near: str, reading: Reading | None, in_transaction: bool, alias: str | None) -> None:  # noqa: FBT001
    assert alias_for_read(ALIASES, near, reading, in_transaction=in_transaction) == alias


def test_pinning_by_hand_is_no_write() -> None:
    pin()  # no unit of work reads from replicas: nothing to do
    with reading_from_replicas() as reading:
        pin()
    assert (reading.pinned, reading.wrote) == ({"default"}, False)


@pytest.mark.parametrize(
    ("number", "text", "spoils"),
    [
        (2013, "Lost connection", True),
        (1290, "running with the --read-only option", True),
        (1836, "Running in read-only mode", True),
        (1792, "Cannot execute statement in a READ ONLY transaction", False),
        (1062, "Duplicate entry", False),
    ],
)
def test_what_costs_mysql_its_connection(number: int, text: str, spoils: bool) -> None:  # noqa: FBT001
    assert PyMySQL().spoils(None, Exception(number, text)) is spoils
