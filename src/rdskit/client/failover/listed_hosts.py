"""Find the writer among several hosts of a URL by asking each, as libpq does with target_session_attrs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from rdskit.errors import NoWriterError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.topology import Host, Role, Topology

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.client.failover.access import Access
    from rdskit.kernel.endpoints import Endpoint

_GRACE: Final = 0.2  # seconds for the other hosts' answers, once a writer has answered
_CLOSE_TIMEOUT: Final = 1.0  # seconds


class ListedHosts:
    """The hosts of a URL that lists several: the first writer, and those that answer as replicas.

    A second host that takes writes is left out, because it may hold other data.

    Args:
        endpoints: the hosts, in order of preference.
        access: opens connections to them.
    """

    changes = True
    refresh_interval = 0.2

    def __init__(self, endpoints: Sequence[Endpoint], access: Access) -> None:
        self.cluster = ",".join(map(str, endpoints))
        self._endpoints = tuple(endpoints)
        self._access = access

    async def topology(self) -> Topology:
        """Ask all hosts for their role concurrently.

        Raises:
            RdskitError: a host refuses this client, and no other takes writes; ``NoWriterError`` if none does.
        """
        tasks = {endpoint: asyncio.ensure_future(self._role(endpoint)) for endpoint in self._endpoints}
        try:
            await self._until_one_writes(set(tasks.values()))
            answers = {endpoint: task.result() for endpoint, task in tasks.items() if task.done()}
        finally:
            # A host that does not answer must not leave a login behind; `gather` waits until all have ended.
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        writer = next((endpoint for endpoint, answer in answers.items() if answer is Role.WRITER), None)
        if writer is None:
            raise self._no_writer([answer for answer in answers.values() if isinstance(answer, DriverError)])
        readers = [endpoint for endpoint, answer in answers.items() if answer is Role.READER]
        hosts = [Host(str(writer), writer, Role.WRITER), *(Host(str(each), each, Role.READER) for each in readers)]
        return Topology(tuple(hosts))

    async def _until_one_writes(self, pending: set[asyncio.Future[Role | DriverError]]) -> None:
        """Wait for every answer; for `_GRACE` seconds more once a writer has answered."""
        timeout: float | None = None
        while pending:
            done, pending = await asyncio.wait(pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return
            if any(task.result() is Role.WRITER for task in done):
                timeout = _GRACE

    async def _role(self, endpoint: Endpoint) -> Role | DriverError:
        try:
            connection = await self._access.open(Host(str(endpoint), endpoint, Role.READER))
        except DriverError as error:
            return error
        role = connection.role
        await connection.close(_CLOSE_TIMEOUT)
        return role

    def _no_writer(self, errors: Sequence[DriverError]) -> Exception:
        final = next((error for error in errors if error.failure is Failure.REFUSED), None)
        if final is not None:
            final.public.__cause__ = final.__cause__
            return final.public
        reasons = "".join(f"; {error.public}" for error in errors)
        return NoWriterError(f"none of the hosts {self.cluster} takes writes{reasons}: check the list of hosts")
