"""A Multi-AZ instance of the local RDS for tests, and what may befall it; a plain helper, no fixture of its own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import rdskit
from rdskit.local import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.local_rds import LocalRds

_STANDBY_RECOVERED = "Recovery of standby DB instance has completed."  # RDS-EVENT-0362


class MultiAz(NamedTuple):
    """An instance with a synchronous standby."""

    local: LocalRds
    identifier: str
    engine: str

    def connect(self, **options: object) -> contextlib.AbstractAsyncContextManager[rdskit.Database]:
        """Return a database object whose login is the managed secret."""
        credentials = f"secretsmanager:{self.local.secret(self.identifier)}"
        return rdskit.connect(f"rds://{self.identifier}/app", credentials=credentials, **options)  # type: ignore[arg-type] # options of connect

    def kill_writer(self) -> None:
        """SIGKILL to the primary: the local RDS promotes the standby."""
        faults.inject(self.identifier, faults.kill(), data=self.local.data)

    def recoveries(self) -> int:
        """Return how often the standby was brought back into sync."""
        events = self.local.rds.describe_events(SourceIdentifier=self.identifier, SourceType="db-instance")["Events"]
        return sum(event["Message"] == _STANDBY_RECOVERED for event in events)

    async def hang_standby(self, db: rdskit.Database) -> None:
        """SIGSTOP to every process of the standby: it acknowledges nothing any more.

        The local RDS finds that out after three missed probes, lets the writers go on alone, and brings it back.
        """
        standby = await self._standby_directory(db)
        processes = [each for each in self.local.server_processes(self.identifier, "") if each.cwd() == standby]
        assert processes, f"no server runs in {standby}"
        for process in processes:
            process.suspend()

    async def _standby_directory(self, db: rdskit.Database) -> str:
        if self.engine == "postgres":
            (receiver,) = self.local.server_processes(self.identifier, "walreceiver")
            return receiver.cwd()
        primary = str(await db.fetch_value("select @@datadir")).rstrip("/")
        (standby,) = {each.cwd() for each in self.local.server_processes(self.identifier, "")} - {primary}
        return standby


@contextlib.contextmanager
def multi_az(local: LocalRds, engine: str) -> Iterator[MultiAz]:
    """Run an instance for the length of the block."""
    identifier = f"multi-az-{engine}"
    local.create(identifier, engine=engine, MultiAZ=True)
    yield MultiAz(local, identifier, engine)
    local.delete(identifier)
