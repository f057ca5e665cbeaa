"""Moves of buckets that a forked child runs, to be killed in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rdskit.plans import FileJournal, apply, resume, undo
from rdskit.scale import Shards
from rdskit.scale.sharding.model import Slice
from rdskit.scale.sharding.move import plan_for


async def run(verb: str, job: str, config: dict[str, Any], slices: list[list[Any]], directory: str) -> str:
    """Apply, resume or undo a move, and return how the job ended."""
    journal = FileJournal(Path(directory))
    async with Shards.connect(config, tls="off", readers="off", min_size=0, max_size=3) as shards:
        plan = plan_for(shards, [Slice(*each) for each in slices])
        if verb == "apply":
            return (await apply(plan, journal, job=job)).state.value
        return (await (resume if verb == "resume" else undo)(plan, journal, job)).state.value
