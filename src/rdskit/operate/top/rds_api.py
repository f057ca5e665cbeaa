"""Poll the RDS API for the watched hosts: status, availability zone and events."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from rdskit.aws.instance_events import InstanceState, describe_events, describe_states
from rdskit.errors import RdskitError
from rdskit.kernel.rds_names import read_name
from rdskit.operate.top.model import Entry, Level

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from rdskit.aws.instance_events import RdsEvent
    from rdskit.kernel.topology import Host
    from rdskit.operate.top.journal import Journal

_LOOKS_BACK: Final = timedelta(minutes=10)  # for events of the first poll
_OVERLAP: Final = timedelta(minutes=2)  # the API reports events late, and clocks differ
_PAUSE: Final = timedelta(minutes=1)  # after a refusal, because each one is an entry in the account's audit trail
_BAD: Final = frozenset({"failure", "low storage"})


class RdsApi:
    """Poll the RDS API. Where it refuses or cannot be reached, a note says so.

    Args:
        journal: receives the events.

    Attributes:
        states: by host identifier, the last known states.
        looked: set after the first poll.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._since = datetime.now(UTC) - _LOOKS_BACK
        self._seen: set[RdsEvent] = set()
        self._refusals: dict[str, tuple[datetime, str]] = {}
        self.states: dict[str, InstanceState] = {}
        self.looked = asyncio.Event()

    @property
    def notes(self) -> tuple[str, ...]:
        """Why polling the API fails, for each action."""
        return tuple(f"{words} ({action})" for action, (_, words) in self._refusals.items())

    async def poll(self, hosts: Iterable[Host], cluster: str) -> None:
        """Poll states and events.

        Args:
            hosts: the hosts; those without an identifier of their own are unknown to the API and left out.
            cluster: the cluster, whose events are collected too.
        """
        for region, names in places(hosts).items():
            await self._unless_refused("rds:DescribeDBInstances", partial(self._query_states, names, region))
            await self._unless_refused("rds:DescribeEvents", partial(self._query_events, {*names, cluster}, region))
        self.looked.set()

    async def _unless_refused(self, action: str, ask: Callable[[], Awaitable[None]]) -> None:
        refused_at, _ = self._refusals.get(action, (None, ""))
        if refused_at is not None and datetime.now(UTC) - refused_at < _PAUSE:
            return
        try:
            await ask()
            self._refusals.pop(action, None)
        except RdskitError as error:
            self._refusals[action] = (datetime.now(UTC), f"the RDS API cannot be read: {error}")

    async def _query_states(self, names: dict[str, str], region: str | None) -> None:
        states = await describe_states(names, region)
        self.states |= {names[name]: state for name, state in states.items() if name in names}

    async def _query_events(self, sources: Collection[str], region: str | None) -> None:
        for event in await describe_events(self._since, region):
            if event.source in sources and event not in self._seen:
                self._seen.add(event)
                level = Level.BAD if _BAD & set(event.categories) else Level.INFO
                self._journal.add(Entry(event.at.timestamp(), event.source, f"RDS: {event.message}", level))
        self._since = max(self._since, datetime.now(UTC) - _OVERLAP)
        self._seen = {event for event in self._seen if event.at >= self._since}


def places(hosts: Iterable[Host]) -> dict[str | None, dict[str, str]]:
    """Return hosts by region, with the identifiers that the API uses; None is the configured region.

    Returns:
        For each region, host identifiers by instance identifier.
    """
    found: dict[str | None, dict[str, str]] = defaultdict(dict)
    for host in hosts:
        if host.identifier == str(host.endpoint):
            continue
        region, slash, instance = host.identifier.rpartition("/")  # a global database's hosts are REGION/NAME
        name = read_name(host.endpoint.host)
        found[region if slash else name.region if name else None][instance] = host.identifier
    return dict(found)
