"""Parameter groups, translated for a local server."""

from __future__ import annotations

import pytest

from rdskit.errors import LocalError
from rdskit.local.fleet.mysql.parameters import translate as translate_mysql
from rdskit.local.fleet.postgres.parameters import translate


def test_numbers_keep_their_unit() -> None:
    assert translate({"shared_buffers": "16384", "work_mem": "4096"}).settings == {
        "shared_buffers": "16384",
        "work_mem": "4096",
    }


@pytest.mark.parametrize(
    "formula", ["{DBInstanceClassMemory/32768}", "GREATEST({DBInstanceClassMemory/9531392},5000)", "LEAST(1,2)"]
)
def test_formulas_of_instance_classes_have_no_effect_and_say_so(formula: str) -> None:
    translation = translate({"shared_buffers": formula})
    assert translation.settings == {}
    assert formula in translation.ignored["shared_buffers"]


@pytest.mark.parametrize(("value", "required"), [("1", True), ("on", True), ("0", False), ("off", False)])
def test_force_ssl_is_for_the_endpoint(value: str, required: bool) -> None:  # noqa: FBT001 - a table
    translation = translate({"rds.force_ssl": value})
    assert translation.require_tls is required
    assert translation.settings == {"rds.force_ssl": value}


def test_logical_replication_raises_the_wal_level() -> None:
    assert translate({"rds.logical_replication": "1"}).settings["wal_level"] == "logical"
    assert "wal_level" not in translate({"rds.logical_replication": "0"}).settings


@pytest.mark.parametrize("name", ["fsync", "listen_addresses", "synchronous_standby_names", "wal_level", "hba_file"])
def test_what_holds_the_fleet_together_cannot_be_changed(name: str) -> None:
    with pytest.raises(LocalError, match=f"{name} cannot be modified"):
        translate({name: "x"})


def test_tls_settings_are_not_the_servers_own() -> None:
    assert set(translate({"ssl": "1", "ssl_min_protocol_version": "TLSv1.2"}).ignored) == {
        "ssl",
        "ssl_min_protocol_version",
    }


def test_mysql_parameters_go_where_they_belong() -> None:
    translation = translate_mysql(
        {
            "max-connections": "300",
            "time_zone": "utc",
            "require_secure_transport": "1",
            "tls_version": "TLSv1.3",
            "innodb_buffer_pool_size": "{DBInstanceClassMemory*3/4}",
        }
    )
    assert translation.settings == {"max_connections": "300", "default_time_zone": "+00:00"}
    assert translation.require_tls
    assert set(translation.ignored) == {"require_secure_transport", "tls_version", "innodb_buffer_pool_size"}


@pytest.mark.parametrize("name", ["read_only", "gtid-mode", "rpl_semi_sync_source_enabled", "server_id", "log_bin"])
def test_what_holds_a_mysql_fleet_together_cannot_be_changed(name: str) -> None:
    with pytest.raises(LocalError, match="cannot be modified"):
        translate_mysql({name: "1"})
