"""The master password changes again and again under load, and no query fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import boto3
import pytest

import rdskit
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from tests.plugins.local_rds import LocalRds

ROTATIONS = 4
WORKERS = 4


@pytest.mark.chaos
async def test_rotation_under_load_fails_no_query(local_rds: LocalRds) -> None:
    local_rds.create("rotating")
    secret = local_rds.secret("rotating")
    manager = boto3.client("secretsmanager")
    failed: list[Exception] = []
    answered = 0
    over = asyncio.Event()

    async with rdskit.connect("rds://rotating", credentials=f"secretsmanager:{secret}", max_size=4) as db:

        async def work() -> None:
            nonlocal answered
            while not over.is_set():
                try:
                    # Each query on a connection of its own: every one of them logs in with the password of the moment.
                    db._cluster.writer.retire()
                    await db.fetch_value("select 1")
                    answered += 1
                except rdskit.RdskitError as error:
                    failed.append(error)

        workers = [asyncio.ensure_future(work()) for _ in range(WORKERS)]
        seen = {_version(manager, secret)}
        for _ in range(ROTATIONS):
            await asyncio.to_thread(manager.rotate_secret, SecretId=secret)
            enough = answered + 20

            async def more_or_failed(enough: int = enough) -> bool:
                return answered >= enough or bool(failed)

            await eventually(more_or_failed, 30)
            seen.add(_version(manager, secret))
        over.set()
        await asyncio.gather(*workers)
    assert not failed
    assert len(seen) == ROTATIONS + 1
    local_rds.delete("rotating")


def _version(manager: object, secret: str) -> str:
    value: str = manager.get_secret_value(SecretId=secret)["VersionId"]  # type: ignore[attr-defined]  # boto3 makes it
    return value
