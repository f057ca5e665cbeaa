"""``rdskit changes`` on a database of each engine."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.stream import changes
from tests.stream.sources import ENGINES, begun, captured, dropped, take

if TYPE_CHECKING:
    from tests.stream.sources import Captured


@pytest.fixture(params=ENGINES)
def source(request: pytest.FixtureRequest) -> Captured:
    return captured(request, request.param)


async def _rdskit(*words: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rdskit", "changes", *words, "--tls", "off"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode()


async def test_a_consumer_from_check_to_drop(source: Captured) -> None:
    async with rdskit.connect(source.url, tls="off") as db:
        await db.execute("create table items (id int primary key, at timestamp null, bytes varchar(10))")
        assert await _rdskit("status", source.url) == (0, "no consumers\n")
        status, said = await _rdskit("check", source.url, "--table", "items", "--json")
        assert {each["severity"] for each in json.loads(said)["findings"]} <= {"warning"}, said
        stream = changes(db, name="told", tables=["items"])
        waiting = asyncio.create_task(take(stream, 1))
        await begun(db, "told")
        tailing = asyncio.create_task(_rdskit("tail", source.url, "--table", "items", "--limit", "2"))
        number = 0
        while not tailing.done():  # nothing says when it has begun
            number += 1
            await db.execute("insert into items values (:id, '2024-02-29 12:34:56', 'x')", id=number)
            await asyncio.sleep(0.05)
        status, said = await tailing
        assert status == 0
        first, second = map(json.loads, said.splitlines())
        assert (first["kind"], first["table"], first["old"]) == ("insert", "items", None)
        assert first["new"]["at"].startswith("2024-02-29T12:34:56")
        assert second["new"]["id"] == first["new"]["id"] + 1
        await waiting
        await stream.aclose()
        status, said = await _rdskit("status", source.url, "--json")
        (told,) = json.loads(said)["consumers"]
        assert (status, told["name"], told["tables"], told["problem"]) == (0, "told", ["items"], "")
        assert (await _rdskit("drop", source.url, "told"))[0] == 1
        if source.is_postgres:
            await dropped(db, "told")
        else:
            assert await _rdskit("drop", source.url, "told", "--yes") == (0, "dropped told\n")
        assert await _rdskit("status", source.url) == (0, "no consumers\n")
