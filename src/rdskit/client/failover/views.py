"""Query a cluster's topology from its servers in SQL: one query for each kind of cluster, and its parser.

Sources: Aurora User Guide, "aurora_replica_status", "Querying information_schema.replica_host_status",
"aurora_global_db_instance_status"; RDS User Guide, "Multi-AZ DB clusters" (``rds_tools``, ``mysql.rds_topology``); the
AWS drivers, which send the same queries.
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
    """The queries for a server's view of its cluster.

    Attributes:
        query: gives a row per instance: its identifier, whether it is the writer, and when the row was written, in
            seconds since 1970. With a ``source``: its identifier, its server id, and the server id of the queried
            server, null if that is read-only.
        source: second query, for the server that the queried one replicates from; no row on the writer.
        guard: query to send first to a server of unknown kind, because an error would show in the server's log.
    """

    query: str
    source: str | None = None
    guard: str | None = None


# A promoted server takes writes shortly before the view shows it. So its own state counts more than any row; on the old
# writer both agree.
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
# The source is null on the writer: then the queried server is the writer. Endpoints begin with the instance's name.
MULTI_AZ_POSTGRES: Final = View("""
select split_part(endpoint, '.', 1), id = coalesce(
    nullif(rds_tools.multi_az_db_cluster_source_dbi_resource_id(), ''), rds_tools.dbi_resource_id()), null::float8
from rds_tools.show_topology('rdskit')
""")
# No table shows the source of a server, so this needs two statements. Users need SELECT on the table, and REPLICATION
# CLIENT for the second statement. A former writer that has just restarted has no source yet, but is read-only.
MULTI_AZ_MYSQL: Final = View(
    "select substring_index(endpoint, '.', 1), id, if(@@global.read_only, null, @@global.server_id) "
    "from mysql.rds_topology",
    source="show replica status",
)
# Instances of two regions may have the same name. The view has no time of update.
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
"""The views of a global database by engine; hosts are named ``REGION/INSTANCE``."""
VIEWS: Final[Mapping[tuple[Engine, bool], View]] = {
    (Engine.POSTGRES, True): AURORA_POSTGRES,
    (Engine.POSTGRES, False): MULTI_AZ_POSTGRES,
    (Engine.MYSQL, True): AURORA_MYSQL,
    (Engine.MYSQL, False): MULTI_AZ_MYSQL,
}
"""The views by engine, and by whether the cluster is Aurora (True) or a Multi-AZ DB cluster (False)."""


class Member(NamedTuple):
    """One instance of a server's answer.

    Attributes:
        identifier: identifier of the instance.
        writes: whether it is the writer.
        updated: when the row was written, in seconds since 1970; None if unknown.
    """

    identifier: str
    writes: bool
    updated: float | None


def members(rows: Iterable[Row]) -> tuple[Member, ...]:
    """Build the members from the rows of a ``query`` without a ``source``."""
    return tuple(Member(str(row[0]), bool(row[1]), None if row[2] is None else float(row[2])) for row in rows)


def members_by_source(rows: Iterable[Row], followed: Sequence[Row]) -> tuple[Member, ...]:
    """Build the members from the rows of a ``query`` and its ``source``.

    Args:
        rows: identifier and server id of each instance, and the server id of the queried server, None if that is
            read-only.
        followed: a row with the writer's server id, 0 if it is not known yet; no row on the writer itself.
    """
    source = followed[0]["Source_Server_Id"] if followed else None
    return tuple(Member(str(row[0]), row[1] == (row[2] if source is None else source), None) for row in rows)


def topology_of(rows: Sequence[Member], endpoints: Mapping[str, Endpoint]) -> Topology | None:
    """Build the topology from an answer; return None if it names no usable writer.

    In the middle of a failover an answer may have no writer, or two. Of two writers, the row that was written later
    wins, and the other one counts as a reader.

    Args:
        rows: the members.
        endpoints: endpoints of the instances, by identifier; an instance without one is left out.
    """
    writers = [member for member in rows if member.writes]
    if not writers:
        return None
    writer = max(writers, key=lambda member: member.updated or 0.0)
    if writer.identifier not in endpoints:
        return None
    known = sorted({member.identifier for member in rows} & endpoints.keys())
    roles = {name: Role.WRITER if name == writer.identifier else Role.READER for name in known}
    return Topology(tuple(Host(name, endpoints[name], role) for name, role in roles.items()))
