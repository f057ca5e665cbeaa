"""Run a PostgreSQL server as an instance of a DB cluster: each commit waits for as many readers as the cluster says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar, Final

from rdskit.local.engines.files import write_whole
from rdskit.local.fleet.postgres.server import PostgresMember

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rdskit.local.engines.session import ServerSession
    from rdskit.local.fleet.engine import Member
    from rdskit.local.fleet.model import InstanceSpec

#: File in the data directory with the cluster's members. A reader's tables are the writer's, so a table cannot differ
#: between servers.
MEMBERS_FILE: Final = "rdskit_cluster.json"


class ClusterMember(PostgresMember):
    """PostgreSQL server of a cluster; arguments as of its parent.

    Attributes:
        functions: SQL of the functions that clients query; an empty line ends each statement.
    """

    functions: ClassVar[str]
    number = 0

    def acknowledged_by(self, names: Collection[str], needed: int) -> None:
        """Configure the readers that must have each commit on disk before it returns."""
        quoted = ", ".join(f'"{each}"' for each in names)
        # FIRST n of exactly n names waits for all of them, and goes on waiting for one that is not connected. ANY 1
        # waits for the quickest. Source: PostgreSQL documentation, synchronous_standby_names.
        method = "FIRST" if needed == len(names) else "ANY"
        self._name_synchronous(f"{method} {needed} ({quoted})" if names else "")

    def acknowledge(self, *, on: bool) -> None:
        """Do nothing: the writer lists by name the readers whose acknowledgement counts."""

    def commits_wait(self, session: ServerSession) -> bool:
        """Return whether a backend waits for an acknowledgement right now. Call this while there are commits."""
        return session.execute("select exists (select from pg_stat_activity where wait_event = 'SyncRep')") == [("t",)]

    def publish_members(self, own: str, writer: str | None, members: Sequence[Member]) -> None:
        """Publish the members to its functions, in a file."""
        if self.alive:
            topology = {"own": own, "writer": writer, "members": [_entry(each) for each in members]}
            write_whole(self.data / MEMBERS_FILE, json.dumps(topology))

    def set_up(self, spec: InstanceSpec) -> None:
        """Create the functions, users and databases of a new cluster. Later databases get the functions too."""
        # New databases are copies of template1.
        for database in ("template1", "postgres"):
            with self.connect(database) as session:
                for statement in self.functions.strip().removesuffix(";").split(";\n\n"):
                    session.execute(statement)
        super().set_up(spec)


def _entry(member: Member) -> dict[str, object]:
    return {
        "identifier": member.identifier,
        "name": member.name,
        "session": member.session,
        "name_in_rds": member.name_in_rds,
        "port_in_rds": member.port,
    }
