"""Find the host and login of a target for connections that our own drivers do not open."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Final

from rdskit.client.targets.location import Located, locate
from rdskit.errors import AwsError, ConnectError
from rdskit.runtime.single_flight import SingleFlight
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from rdskit.client.credentials import Iam
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Credentials, Login
    from rdskit.kernel.targets import Target
    from rdskit.kernel.topology import Topology

_TOPOLOGY_SERVES: Final = 30.0  # seconds between two refreshes of the topology while all is well
_log = logging.getLogger("rdskit.failover")


class _State:
    """The cached results of one process; tasks and event loops do not survive a fork."""

    def __init__(self) -> None:
        owner = self.owner = TaskOwner("destination")
        self.locating: SingleFlight[Located] = SingleFlight(owner, "look the target up")
        self.looking: SingleFlight[Topology] = SingleFlight(owner, "look at the topology")
        self.located: Located | None = None
        self.topology: Topology | None = None
        self.looked_at = 0.0


class Destination:
    """Looks up one target, and caches the result. All calls of a process must run on the same event loop.

    Args:
        target: the parsed target.
        option: ``credentials=`` of ``rdskit.connect``, checked.
    """

    def __init__(self, target: Target, option: str | Credentials | Iam | None) -> None:
        self._target = target
        self._option = option
        self._states: dict[int, _State] = {}  # by process id: a forked child starts with a state of its own

    async def located(self) -> Located:
        """Return the target's location, which is looked up once.

        Raises:
            ConfigError: it names something that does not exist.
            RdskitError: a request to AWS failed.
        """
        state = self._state()
        if state.located is None:
            state.located = await state.locating.run(lambda: locate(self._target, self._option, state.owner))
        return state.located

    async def topology(self, *, look: bool = False) -> Topology:
        """Return the hosts of the target.

        Args:
            look: refresh the topology, because a host did not answer as expected.

        Raises:
            RdskitError: the topology cannot be read, and never was before.
        """
        state, now = self._state(), asyncio.get_running_loop().time()
        source = (await self.located()).source
        known = state.topology
        if known is not None and not (source.changes and (look or now - state.looked_at > _TOPOLOGY_SERVES)):
            return known
        # Concurrent callers share one refresh: after a failover, all connections of a pool are reopened at once.
        try:
            state.topology = await state.looking.run(source.topology)
        except (AwsError, ConnectError) as error:
            if known is None:
                raise
            _log.warning("the topology could not be read; the last one stays in use: %s", error)
            return known
        state.looked_at = now
        return state.topology

    async def login(self, endpoint: Endpoint, refused: Login | None = None) -> Login:
        """Return user and password for a host; ``refused`` is the login that it has just refused.

        Raises:
            RdskitError: the credentials gave no login.
        """
        return await (await self.located()).credentials.login(endpoint, refused=refused)

    def _state(self) -> _State:
        return self._states.setdefault(os.getpid(), _State())
