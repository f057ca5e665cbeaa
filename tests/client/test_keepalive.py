"""A server that is gone without a word ends its connections: TCP asks it, however long it is silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rdskit
from tests.plugins.keepalive import CLIENT_PORT, seconds_to_live, seconds_unacknowledged

if TYPE_CHECKING:
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase


def question(target: TestDatabase | FamilyDatabase) -> str:
    return CLIENT_PORT["postgresql" if target.url.startswith("postgresql:") else "mysql"]


async def test_a_pooled_connection_is_asked_and_a_server_that_reads_slowly_is_left_alone(
    target: TestDatabase | FamilyDatabase,
) -> None:
    async with rdskit.connect(target.url, tls="off") as db, db.transaction() as tx:
        port = int(await tx.fetch_value(question(target)))
        assert seconds_to_live(port) == 25
        assert seconds_unacknowledged(port) == 0


def test_a_plain_connection_is_asked_and_must_be_acknowledged(target: TestDatabase | FamilyDatabase) -> None:
    connection = rdskit.dbapi_connect(target.url, tls="off")
    try:
        with connection.cursor() as cursor:
            cursor.execute(question(target))
            port = int(cursor.fetchone()[0])
        assert seconds_to_live(port) == 25
        assert seconds_unacknowledged(port) == 30
    finally:
        connection.close()
