"""What the servers of a cluster say about it in SQL: one question for each kind, and how its answer reads.

Sources: Aurora User Guide, "aurora_replica_status", "Querying information_schema.replica_host_status",
"aurora_global_db_instance_status"; RDS User Guide, "Multi-AZ DB clusters" (``rds_tools``, ``mysql.rds_topology``); the
AWS drivers, which ask the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rdskit.kernel.targets import Engine
from rdskit.kernel.topology import Host, Role, Topology

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Row


class View(NamedTuple):
    """What a server is asked about its cluster.

    Attributes:
        question: a row for each instance: its identifier, whether it writes, and when that was written, in seconds
            since 1970. With a ``source``: its identifier, its server id, and the server id of who is asked,
            null where that is read-only.
        source: asked second: whom the server follows; no row on the writer.
        guard: asked first by whoever does not know what the server is: an error would show in the server's log.
    """

    question: str
    source: str | None = None
    guard: str | None = None


# A server that was just promoted takes writes a little before the view says so: what it knows of itself counts more
# than any row. Of the old writer both say the same.
AURORA_POSTGRES: Final = View(
    """
select server_id, session_id = 'MASTER_SESSION_ID' or own,
       case when own then 'infinity' else extract(epoch from last_update_timestamp) end::float8
from (select *, server_id = aurora_db_instance_identifier() and not pg_is_in_recovery() as own
      from aurora_replica_status()) as told
where extract(epoch from now() - last_update_timestamp) <= 300 or session_id = 'MASTER_SESSION_ID'
   or last_update_timestamp is null
""",
    guard="select to_regproc('aurora_replica_status') is not null",
)
AURORA_MYSQL: Final = View("""
select server_id, session_id = 'MASTER_SESSION_ID', unix_timestamp(last_update_timestamp)
from information_schema.replica_host_status
where timestampdiff(second, last_update_timestamp, now()) <= 300 or session_id = 'MASTER_SESSION_ID'
""")
# The source is null on the writer, which is then the one that was asked. Endpoints begin with the instance's name.
MULTI_AZ_POSTGRES: Final = View("""
select split_part(endpoint, '.', 1), id = coalesce(
    nullif(rds_tools.multi_az_db_cluster_source_dbi_resource_id(), ''), rds_tools.dbi_resource_id()), null::float8
from rds_tools.show_topology('rdskit')
""")
# Whom a server follows is told in no table. Users need SELECT on the one and REPLICATION CLIENT for the other. An old
# writer that has just come back follows nobody yet: it is no writer while it is read-only.
MULTI_AZ_MYSQL: Final = View(
    "select substring_index(endpoint, '.', 1), id, if(@@global.read_only, null, @@global.server_id) "
    "from mysql.rds_topology",
    source="show replica status",
)
# Instances of two regions may have the same name, and the view tells no time.
GLOBAL_VIEWS: Final[Mapping[Engine, View]] = {
    Engine.POSTGRES: View("""
select aws_region || '/' || server_id, session_id = 'MASTER_SESSION_ID', null::float8
from aurora_global_db_instance_status()
"""),
    Engine.MYSQL: View("""
select concat(aws_region, '/', server_id), session_id = 'MASTER_SESSION_ID', null
from information_schema.aurora_global_db_instance_status
"""),
}
"""The question of a global database by engine; hosts are called ``REGION/INSTANCE``."""
VIEWS: Final[Mapping[tuple[Engine, bool], View]] = {
    (Engine.POSTGRES, True): AURORA_POSTGRES,
    (Engine.POSTGRES, False): MULTI_AZ_POSTGRES,
    (Engine.MYSQL, True): AURORA_MYSQL,
    (Engine.MYSQL, False): MULTI_AZ_MYSQL,
}
"""The question by engine, and by whether it is Aurora or a Multi-AZ DB cluster."""


class Member(NamedTuple):
    """One row of an answer.

    Attributes:
        identifier: of the instance.
        writes: whether it is the writer.
        updated: when the row was written, in seconds since 1970; None where that is not told.
    """

    identifier: str
    writes: bool
    updated: float | None


def members(rows: Iterable[Row]) -> tuple[Member, ...]:
    """Read an answer."""
    return tuple(Member(str(row[0]), bool(row[1]), None if row[2] is None else float(row[2])) for row in rows)


def members_by_source(rows: Iterable[Row], followed: Sequence[Row]) -> tuple[Member, ...]:
    """Read the answer of a server that tells whom it follows.

    Args:
        rows: the identifier and the server id of each instance, and the server id of who is asked, None where that
            is read-only.
        followed: a row with the server id of the writer, 0 where that is not known yet; none on the writer itself.
    """
    source = followed[0]["Source_Server_Id"] if followed else None
    return tuple(Member(str(row[0]), row[1] == (row[2] if source is None else source), None) for row in rows)


def topology_of(told: Sequence[Member], endpoints: Mapping[str, Endpoint]) -> Topology | None:
    """Make a topology of an answer; None where it is of no use.

    An answer without a writer comes from the middle of a failover. With two writers, the row that was written later
    counts, and the other one is a reader.

    Args:
        told: the rows.
        endpoints: of the instances, by identifier; an instance that is not in it is left out.
    """
    writers = [member for member in told if member.writes]
    if not writers:
        return None
    writer = max(writers, key=lambda member: member.updated or 0.0)
    if writer.identifier not in endpoints:
        return None
    known = sorted({member.identifier for member in told} & endpoints.keys())
    roles = {name: Role.WRITER if name == writer.identifier else Role.READER for name in known}
    return Topology(tuple(Host(name, endpoints[name], role) for name, role in roles.items()))
