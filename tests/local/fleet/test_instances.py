"""Instances that are made, changed, stopped and removed, each with real servers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from rdskit.errors import LocalError
from rdskit.local.fleet import Fleet
from tests.local.fleet.clients import PASSWORD
from tests.local.fleet.conftest import Harness, spec

if TYPE_CHECKING:
    from pathlib import Path


def test_the_master_owns_the_database_and_is_no_superuser(harness: Harness) -> None:
    endpoint = harness.fleet.create(spec())
    assert endpoint.port == 5432
    with harness.connect(endpoint) as connection:
        assert connection.execute("select usesuper from pg_user where usename = current_user").fetchone() == (False,)
        connection.execute("create table public.t (id int)")
        connection.execute("create role app login password 'x'")
        connection.execute("grant rds_iam to app")
        connection.execute("create database other")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("alter system set work_mem = '1GB'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select pg_read_file('postgresql.conf')")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        harness.connect(endpoint, dbname="rdsadmin")


def test_passwords_are_in_no_file_and_no_log(harness: Harness, root: Path) -> None:
    endpoint = harness.fleet.create(spec())
    harness.fleet.set_master_password("db-ORDERS", "the-next-password")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        harness.connect(endpoint)
    with harness.connect(endpoint, password="the-next-password") as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    admin = (root / "rdsadmin.secret").read_text()
    for log in root.rglob("*.log"):
        text = log.read_text()
        assert "the-next-password" not in text
        assert admin not in text
    record = (root / "instances" / "db-ORDERS" / "instance.json").read_text()
    assert PASSWORD not in record
    assert "the-next-password" not in record
    assert PASSWORD not in repr(spec())


def test_deleting_leaves_nothing(harness: Harness, root: Path) -> None:
    harness.fleet.create(spec(multi_az=True))
    pid = harness.pid("db-ORDERS")
    harness.fleet.delete("db-ORDERS")
    assert not psutil.pid_exists(pid)
    assert list((root / "instances").iterdir()) == []
    assert list((root / "endpoints").iterdir()) == []
    with pytest.raises(LocalError, match="no instance db-ORDERS"):
        harness.fleet.describe("db-ORDERS")


def test_two_instances_have_the_same_port_on_addresses_of_their_own(harness: Harness) -> None:
    first, second = harness.fleet.create(spec("db-ONE")), harness.fleet.create(spec("db-TWO"))
    assert first.port == second.port == 5432
    assert first.host != second.host


def test_stopping_keeps_the_data(harness: Harness) -> None:
    endpoint = harness.fleet.create(spec())
    with harness.connect(endpoint) as connection:
        connection.execute("create table written as select 1 as id")
    harness.fleet.stop("db-ORDERS")
    assert not harness.fleet.describe("db-ORDERS").running
    with pytest.raises(psycopg.OperationalError, match="refused"):
        harness.connect(endpoint)
    harness.fleet.start_instance("db-ORDERS")
    assert harness.count(endpoint) == 1


def test_a_stopped_instance_is_still_stopped_after_a_restart_of_the_fleet(harness: Harness, root: Path) -> None:
    harness.fleet.create(spec())
    harness.fleet.stop("db-ORDERS")
    harness.fleet.close()
    again = Fleet(root, notify=harness.events.append)
    again.start()
    try:
        assert not again.describe("db-ORDERS").running
    finally:
        again.close()


def test_dynamic_parameters_apply_at_once_and_static_ones_after_a_reboot(harness: Harness) -> None:
    endpoint = harness.fleet.create(spec())
    waiting = harness.fleet.apply_parameters("db-ORDERS", {"work_mem": "8192", "max_connections": "77"})
    assert waiting == {"max_connections"}
    assert harness.fleet.describe("db-ORDERS").pending_restart == {"max_connections"}
    with harness.connect(endpoint) as connection:
        assert connection.execute("show work_mem").fetchone() == ("8MB",)
        assert connection.execute("show max_connections").fetchone() != ("77",)
    harness.fleet.reboot("db-ORDERS")
    with harness.connect(endpoint) as connection:
        assert connection.execute("show max_connections").fetchone() == ("77",)
    assert harness.fleet.describe("db-ORDERS").pending_restart == frozenset()


def test_a_parameter_that_is_no_longer_set_has_its_default_again(harness: Harness) -> None:
    endpoint = harness.fleet.create(spec(work_mem="8192"))
    harness.fleet.apply_parameters("db-ORDERS", {})
    with harness.connect(endpoint) as connection:
        assert connection.execute("show work_mem").fetchone() == ("4MB",)


def test_a_refused_parameter_changes_nothing(harness: Harness, root: Path) -> None:
    endpoint = harness.fleet.create(spec(work_mem="8192"))
    with pytest.raises(LocalError, match="work_mem"):
        harness.fleet.apply_parameters("db-ORDERS", {"work_mem": "much"})
    with harness.connect(endpoint) as connection:
        assert connection.execute("show work_mem").fetchone() == ("8MB",)
    record = json.loads((root / "instances" / "db-ORDERS" / "instance.json").read_text())
    assert record["parameters"] == {"work_mem": "8192"}


def test_parameters_that_keep_the_server_from_starting_are_taken_back(harness: Harness) -> None:
    endpoint = harness.fleet.create(spec())
    harness.fleet.apply_parameters("db-ORDERS", {"shared_preload_libraries": "pg_bigm"})
    with pytest.raises(LocalError, match=r"former parameters.*pg_bigm"):
        harness.fleet.reboot("db-ORDERS")
    with harness.connect(endpoint) as connection:
        assert connection.execute("show shared_preload_libraries").fetchone() == ("",)


def test_force_ssl_refuses_sessions_in_the_clear(harness: Harness) -> None:
    endpoint = harness.fleet.create(spec())
    with harness.connect(endpoint, sslmode="disable") as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    harness.fleet.apply_parameters("db-ORDERS", {"rds.force_ssl": "1"})
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        harness.connect(endpoint, sslmode="disable")


def test_what_cannot_be_made_leaves_nothing(harness: Harness, root: Path) -> None:
    with pytest.raises(LocalError, match="work_mem"):
        harness.fleet.create(spec(work_mem="much"))
    with pytest.raises(LocalError, match="rdsadmin is reserved"):
        harness.fleet.create(replace(spec(), master_user="rdsadmin"))
    with pytest.raises(LocalError, match="engine oracle"):
        harness.fleet.create(replace(spec(), engine="oracle"))
    assert list((root / "instances").iterdir()) == []
    harness.fleet.create(spec())
    with pytest.raises(LocalError, match="exists already"):
        harness.fleet.create(spec())


def test_one_data_directory_has_one_owner(harness: Harness, root: Path) -> None:
    assert harness.fleet.failovers() == []
    second = Fleet(root, notify=harness.events.append)
    with pytest.raises(LocalError, match="in use by another local RDS"):
        second.start()
