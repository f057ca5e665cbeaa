"""A PostgreSQL server as an instance of a DB cluster: each commit waits for as many readers as the cluster says."""

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

#: What the fleet tells a server of its cluster is in a file: its tables are the writer's.
MEMBERS_FILE: Final = "rdskit_cluster.json"


class ClusterMember(PostgresMember):
    """A PostgreSQL server of a cluster; arguments as of its parent.

    Attributes:
        functions: what clients ask, as SQL; an empty line is after each statement.
    """

    functions: ClassVar[str]
    number = 0

    def acknowledged_by(self, names: Collection[str], needed: int) -> None:
        """Have each commit wait until so many of these readers have it on disk."""
        quoted = ", ".join(f'"{each}"' for each in names)
        method = "FIRST" if needed == len(names) else "ANY"
        self._name_synchronous(f"{method} {needed} ({quoted})" if names else "")

    def acknowledge(self, *, on: bool) -> None:
        """Nothing to do: the writer names those whose acknowledgement counts."""

    def commits_wait(self, session: ServerSession) -> bool:
        """Whether a backend waits right now: to be asked while there are commits."""
        return session.execute("select exists (select from pg_stat_activity where wait_event = 'SyncRep')") == [("t",)]

    def publish_members(self, own: str, writer: str | None, members: Sequence[Member]) -> None:
        """Have its functions tell who is in the cluster."""
        if self.alive:
            told = {"own": own, "writer": writer, "members": [_entry(each) for each in members]}
            write_whole(self.data / MEMBERS_FILE, json.dumps(told))

    def set_up(self, spec: InstanceSpec) -> None:
        """Give a fresh server the functions, users and databases of a new cluster; new databases have them too."""
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
