"""IAM authentication after a restart of the local RDS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from rdskit.local import lifecycle

if TYPE_CHECKING:
    from mypy_boto3_rds.type_defs import DBInstanceTypeDef

    from tests.local.control.conftest import LocalRdsDaemon


def whoami(local: LocalRdsDaemon, instance: DBInstanceTypeDef) -> str:
    endpoint = instance["Endpoint"]
    token = local.rds.generate_db_auth_token(endpoint["Address"], endpoint["Port"], "ada")
    with local.connect(instance, token, user="ada") as connection:
        row = connection.execute("select current_user").fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.timeout(240)
def test_users_keys_and_policies_survive_a_restart(fresh: LocalRdsDaemon) -> None:
    instance = fresh.create("kept", EnableIAMDatabaseAuthentication=True)
    with fresh.connect(instance) as connection:
        connection.execute("create user ada")
        connection.execute("grant rds_iam to ada")
    assert whoami(fresh, instance) == "ada"
    lifecycle.down(fresh.data)
    lifecycle.up(fresh.data, fresh.port)
    instance = fresh.settle("kept")
    assert instance["IAMDatabaseAuthenticationEnabled"]
    assert whoami(fresh, instance) == "ada"
    with pytest.raises(psycopg.OperationalError, match="that is a password, not a token"):
        fresh.connect(instance, user="ada")
    fresh.rds.modify_db_instance(DBInstanceIdentifier="kept", EnableIAMDatabaseAuthentication=False)
    instance = fresh.settle("kept")
    assert not instance["IAMDatabaseAuthenticationEnabled"]
    with pytest.raises(psycopg.OperationalError, match="IAM authentication is not enabled"):
        whoami(fresh, instance)
