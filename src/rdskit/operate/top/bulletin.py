"""What the RDS API says of the hosts that are watched: how they are, where they are, and what happened to them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from rdskit.aws.estate import InstanceState, describe_events, describe_states
from rdskit.errors import RdskitError
from rdskit.operate.top.model import Entry, Level

if TYPE_CHECKING:
    from collections.abc import Collection

    from rdskit.aws.estate import RdsEvent
    from rdskit.operate.top.journal import Journal

_LOOKS_BACK: Final = timedelta(minutes=10)  # at first; RDS's own clock and ours may differ as well
_OVERLAP: Final = timedelta(minutes=2)  # an event may be told later than it happened
_BAD: Final = frozenset({"failure", "low storage"})


class Bulletin:
    """The API's side of the picture. It is left out where the API cannot be asked, which is noted.

    Args:
        journal: where events go.

    Attributes:
        states: by identifier of the instance, as they were told last.
        notes: why the API cannot be asked.
        looked: set once it was asked.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._since = datetime.now(UTC) - _LOOKS_BACK
        self._seen: set[RdsEvent] = set()
        self.states: dict[str, InstanceState] = {}
        self.notes: tuple[str, ...] = ()
        self.looked = asyncio.Event()

    async def look(self, instances: Collection[str], cluster: str) -> None:
        """Ask the API.

        Args:
            instances: identifiers; none where the hosts are not known to be instances, and then nothing is asked.
            cluster: whose events are of interest too.
        """
        self.notes = await self._asked(instances, cluster) if instances else ()
        self.looked.set()

    async def _asked(self, instances: Collection[str], cluster: str) -> tuple[str, ...]:
        notes = []
        try:
            self.states = await describe_states(instances)
        except RdskitError as error:
            notes.append(f"zones and states are not known (rds:DescribeDBInstances): {error}")
        try:
            await self._hear({*instances, cluster})
        except RdskitError as error:
            notes.append(f"events of RDS are not known (rds:DescribeEvents): {error}")
        return tuple(notes)

    async def _hear(self, sources: Collection[str]) -> None:
        for event in await describe_events(self._since):
            if event.source in sources and event not in self._seen:
                self._seen.add(event)
                level = Level.BAD if _BAD & set(event.categories) else Level.INFO
                self._journal.add(Entry(event.at.timestamp(), event.source, f"RDS: {event.message}", level))
        self._since = max(self._since, datetime.now(UTC) - _OVERLAP)
        self._seen = {event for event in self._seen if event.at >= self._since}
