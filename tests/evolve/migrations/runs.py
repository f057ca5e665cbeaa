"""Runs of migrations in child processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import rdskit
from rdskit.evolve import migrations

if TYPE_CHECKING:
    from rdskit.plans import Progress


async def up(url: str, directory: str) -> list[str]:
    """Apply what is pending."""
    async with rdskit.connect(url, tls="off", min_size=0, max_size=5, readers="off") as db:
        return await migrations.up(db, Path(directory))


async def down(url: str, directory: str) -> list[str]:
    """Take back everything."""
    async with rdskit.connect(url, tls="off", min_size=0, max_size=5, readers="off") as db:
        return await migrations.down(db, Path(directory), steps=100)


async def apply_to(url: str, directory: str, schemas: list[str], die_at: str | None = None) -> None:
    """Apply what is pending to schemas; die when the turn of one of them comes, with others under way."""

    def progress(report: Progress) -> None:
        if report.step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    async with rdskit.connect(url, tls="off", min_size=0, max_size=8, readers="off") as db:
        waves = migrations.Waves(canary=1, size=3, workers=2)
        await migrations.apply(migrations.in_schemas(db, schemas), Path(directory), waves=waves, progress=progress)
