"""MySQL and MariaDB through the AWS API, with plain boto3, PyMySQL and real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymysql
import pytest
from botocore.exceptions import ClientError
from pymysql.connections import Connection

from rdskit.local import doctor, lifecycle
from rdskit.local.engines.mysql.installations import UNPACKED_MARIADB, UNPACKED_MYSQL
from tests.local.control.conftest import until
from tests.plugins.rounds import soak

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_rds.type_defs import DBInstanceTypeDef

    from tests.local.control.conftest import LocalRdsDaemon


@pytest.fixture(params=["mariadb", *soak("mysql")])
def engine(request: pytest.FixtureRequest) -> str:
    engine: str = request.param
    return engine


def connect(local: LocalRdsDaemon, instance: DBInstanceTypeDef, password: str) -> Connection[Any]:
    """Log in over verified TLS."""
    endpoint = instance["Endpoint"]
    return Connection(
        host=endpoint["Address"],
        port=endpoint["Port"],
        user="admin",
        password=password,
        database="shop",
        autocommit=True,
        connect_timeout=5,
        ssl_ca=lifecycle.env(local.data)["RDSKIT_CA"],
        ssl_verify_cert=True,
        ssl_verify_identity=True,
    )


def ask(local: LocalRdsDaemon, instance: DBInstanceTypeDef, sql: str) -> Any:
    with connect(local, instance, local.secret(instance)["password"]) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
        return row[0] if row else None


def test_the_life_of_a_multi_az_instance(fresh: LocalRdsDaemon, engine: str) -> None:
    rds = fresh.rds
    settings = {"Engine": engine, "MasterUsername": "admin", "DBName": "shop", "ManageMasterUserPassword": True}
    instance = fresh.create("orders", MultiAZ=True, **settings)
    assert instance["Endpoint"]["Port"] == 3306
    assert instance["LicenseModel"] == "general-public-license"
    (version,) = rds.describe_db_engine_versions(Engine=engine)["DBEngineVersions"]
    assert instance["EngineVersion"] == version["EngineVersion"]
    family = version["DBParameterGroupFamily"]
    assert family == f"{engine}{version['MajorEngineVersion']}" == engine + version["EngineVersion"].rpartition(".")[0]
    ask(fresh, instance, "create table kept as select 1 as id")

    rds.create_db_instance_read_replica(DBInstanceIdentifier="copy", SourceDBInstanceIdentifier="orders")
    replica = fresh.settle("copy")
    source_password = fresh.secret(instance)["password"]
    with connect(fresh, replica, source_password) as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.err.MySQLError) as refused:
            cursor.execute("insert into kept values (2)")
        assert refused.value.args[0] in (1290, 1836)

    rds.reboot_db_instance(DBInstanceIdentifier="orders", ForceFailover=True)
    after = fresh.settle("orders")
    assert (after["AvailabilityZone"], after["SecondaryAvailabilityZone"]) == ("eu-west-1b", "eu-west-1a")
    assert after["Endpoint"] == instance["Endpoint"]
    assert ask(fresh, after, "select count(*) from kept") == 1
    (failover,) = lifecycle.failovers(fresh.data, "orders")
    assert failover["promotion_ms"] > 0
    assert "Multi-AZ instance failover completed" in fresh.messages("orders")

    before = fresh.secret(instance)
    rds.modify_db_instance(DBInstanceIdentifier="orders", RotateMasterUserPassword=True, ApplyImmediately=True)
    fresh.settle("orders")
    assert fresh.secret(instance)["password"] != before["password"]
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        connect(fresh, instance, before["password"])

    lifecycle.down(fresh.data)
    lifecycle.up(fresh.data)
    assert ask(fresh, fresh.settle("orders"), "select count(*) from kept") == 1
    fresh.settle("copy")


def test_parameter_groups_reach_the_server(fresh: LocalRdsDaemon) -> None:
    rds, engine = fresh.rds, "mysql"
    settings = {"Engine": engine, "MasterUsername": "admin", "DBName": "shop", "ManageMasterUserPassword": True}
    instance = fresh.create("tuned", **settings)
    (version,) = rds.describe_db_engine_versions(Engine=engine)["DBEngineVersions"]
    rds.create_db_parameter_group(
        DBParameterGroupName="own", DBParameterGroupFamily=version["DBParameterGroupFamily"], Description="own"
    )
    rds.modify_db_instance(DBInstanceIdentifier="tuned", DBParameterGroupName="own")
    rds.reboot_db_instance(DBInstanceIdentifier="tuned")
    instance = fresh.settle("tuned")

    def change(name: str, value: str, method: str) -> None:
        parameter: Any = {"ParameterName": name, "ParameterValue": value, "ApplyMethod": method}
        rds.modify_db_parameter_group(DBParameterGroupName="own", Parameters=[parameter])

    change("max_connections", "123", "immediate")
    until(lambda: ask(fresh, instance, "select @@global.max_connections") == 123)
    change("back_log", "77", "pending-reboot")
    assert fresh.describe("tuned")["DBParameterGroups"][0]["ParameterApplyStatus"] == "pending-reboot"
    rds.reboot_db_instance(DBInstanceIdentifier="tuned")
    assert ask(fresh, fresh.settle("tuned"), "select @@global.back_log") == 77
    for name, value, method, code in (
        ("back_log", "78", "immediate", "InvalidParameterCombination"),
        ("max_connections", "0", "immediate", "InvalidParameterValue"),
        ("server_id", "7", "pending-reboot", "InvalidParameterValue"),
        ("no_such_variable", "7", "pending-reboot", "InvalidParameterValue"),
    ):
        with pytest.raises(ClientError) as refused:
            change(name, value, method)
        assert refused.value.response["Error"]["Code"] == code

    change("require_secure_transport", "1", "immediate")

    def refuses_the_clear() -> bool:
        endpoint = instance["Endpoint"]
        try:
            Connection(host=endpoint["Address"], port=endpoint["Port"], user="admin", ssl_disabled=True).close()
        except pymysql.err.OperationalError as error:
            return bool(error.args[0] == 3159)
        return False

    until(refuses_the_clear)
    assert ask(fresh, instance, "select 1") == 1


def test_a_local_rds_with_postgres_only_loads_nothing_of_mysql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "MYSQL_PROVIDERS", (UNPACKED_MYSQL,))
    monkeypatch.setattr(doctor, "MARIADB_PROVIDERS", (UNPACKED_MARIADB,))
    findings = {each.subject: each for each in doctor.examine(tmp_path / "data")}
    for title in ("MySQL", "MariaDB"):
        assert findings[title].finding.startswith("not installed")
    assert not (tmp_path / "cache").exists()
