"""Failovers as the client meets them, in virtual time: stale views, hosts that nobody reaches, and who is dialled."""

from __future__ import annotations

import asyncio

import pytest

from rdskit.errors import OutcomeUnknown
from tests.client.estate import ANSWER, Estate, connected

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize("answer", [ANSWER / 5, ANSWER * 4], ids=["sooner", "later"])
async def test_a_reader_whose_view_is_late_keeps_nobody_from_the_new_writer(answer: float) -> None:
    """Whether it answers before the new writer does, or after that, when the client has moved already."""
    estate = Estate()
    estate.servers["three"].answer = answer
    async with connected(estate) as application, application.running():
        await asyncio.sleep(2)
        estate.servers["one"].silent = True
        await asyncio.sleep(0.6)
        estate.promote("two")  # and "three" goes on naming "one"
        assert await application.all_wrote(within=60) < 1
        estate.demote("one", "two")
        await asyncio.sleep(1)
        assert await application.all_wrote(within=60) < 1
        assert {type(error) for error in application.errors} <= {OutcomeUnknown}
        assert len(application.errors) <= 20
