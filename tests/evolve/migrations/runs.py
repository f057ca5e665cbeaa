"""Runs of migrations in child processes."""

from __future__ import annotations

from pathlib import Path

import rdskit
from rdskit.evolve import migrations


async def up(url: str, directory: str) -> list[str]:
    """Apply what is pending."""
    async with rdskit.connect(url, tls="off", min_size=0, max_size=5, readers="off") as db:
        return await migrations.up(db, Path(directory))


async def down(url: str, directory: str) -> list[str]:
    """Take back everything."""
    async with rdskit.connect(url, tls="off", min_size=0, max_size=5, readers="off") as db:
        return await migrations.down(db, Path(directory), steps=100)
