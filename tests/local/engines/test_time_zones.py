"""The servers' time zone tables say what Python's own zones say."""

from __future__ import annotations

import bisect
import io
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from rdskit.local.engines.mysql import time_zones

if TYPE_CHECKING:
    from rdskit.local.engines.mysql.throwaway import ThrowawayFamilyServer

ZONES = ("UTC", "Europe/Berlin", "Europe/Dublin", "America/New_York", "Asia/Kolkata", "Africa/Casablanca", "Asia/Gaza")


def test_each_moment_has_the_zones_own_offset() -> None:
    chance = random.Random(17)
    for name, content in time_zones.zone_files():
        transitions = time_zones.since_1970(content)
        moments = [moment for moment, _ in transitions]
        assert moments == sorted(moments), name
        zone = ZoneInfo.from_file(io.BytesIO(content))
        for moment in (chance.randrange(2**31) for _ in range(20)):
            offset = transitions[bisect.bisect_right(moments, moment) - 1][1]
            there = datetime.fromtimestamp(moment, zone)
            assert (offset.seconds, offset.name) == (there.utcoffset().total_seconds(), there.tzname()), (name, moment)  # type: ignore[union-attr]  # a zone has one


def test_a_statement_is_short_enough_for_a_server_that_initialises_itself() -> None:
    assert max(map(len, time_zones.time_zone_sql().splitlines())) < 20_000


@pytest.mark.parametrize("product", ["mariadb", "mysql"])
def test_a_server_knows_the_named_zones(request: pytest.FixtureRequest, product: str) -> None:
    server: ThrowawayFamilyServer = request.getfixturevalue(product)
    contents = dict(time_zones.zone_files())
    chance = random.Random(17)
    with server.connect() as session:
        assert session.execute("select count(*) from mysql.time_zone_name")[0][0] == str(len(contents))
        for name in ZONES:
            zone = ZoneInfo.from_file(io.BytesIO(contents[name]))
            for moment in (chance.randrange(2**31) for _ in range(10)):
                there = datetime.fromtimestamp(moment, zone).replace(tzinfo=None)
                asked = datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)
                answer = session.execute(f"select convert_tz('{asked}', '+00:00', '{name}')")[0][0]
                assert answer == str(there), (name, moment)
