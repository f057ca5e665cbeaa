"""The fleet's store: what is saved is loaded, and incomplete directories are removed."""

from __future__ import annotations

import datetime as dt
import stat
from typing import TYPE_CHECKING

from rdskit.kernel.endpoints import Endpoint
from rdskit.local.fleet.model import FailoverRecord
from rdskit.local.fleet.store import InstanceRecord, NodeRecord, Store

if TYPE_CHECKING:
    from pathlib import Path


def record() -> InstanceRecord:
    return InstanceRecord(
        resource_id="db-ONE",
        engine="postgres",
        master_user="shop",
        endpoint=Endpoint("127.0.0.5", 5432),
        zones=("eu-1a", "eu-1b"),
        primary=NodeRecord("a", Endpoint("127.0.0.6", 40001), "eu-1a"),
        standby=NodeRecord("b", Endpoint("127.0.0.7", 40002), "eu-1b"),
        parameters={"work_mem": "8192"},
        proven={},
        failovers=(FailoverRecord("db-ONE", "requested", dt.datetime(2026, 1, 2, tzinfo=dt.UTC), 41.5),),
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    store.ensure()
    store.node("db-ONE", "a")
    store.save(record())
    assert list(Store(tmp_path / "data").load()) == [record()]


def test_records_and_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    store.ensure()
    store.node("db-ONE", "a")
    store.save(record())
    secret = store.admin_password()
    assert len(secret) >= 32
    assert store.admin_password() == secret
    for file in (tmp_path / "data" / "rdsadmin.secret", tmp_path / "data" / "instances" / "db-ONE" / "instance.json"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_crash_while_saving_leaves_the_old_record(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    store.ensure()
    directory = store.node("db-ONE", "a").parent
    store.save(record())
    (directory / "instance.json.new").write_text('{"format": 1, "resource')
    assert list(store.load()) == [record()]
    store.save(record())
    assert list(store.load()) == [record()]


def test_a_directory_without_a_record_is_removed(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    store.ensure()
    half = store.node("db-HALF", "a")
    assert list(store.load()) == []
    assert not half.exists()
