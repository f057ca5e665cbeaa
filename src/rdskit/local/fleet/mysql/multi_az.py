"""Run Multi-AZ DB clusters of MySQL: readable standbys, and the table that clients query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.local.fleet.mysql.cluster import SCHEMA, ClusterMember
from rdskit.local.fleet.mysql.engine import MySQL

if TYPE_CHECKING:
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.engines.session import Account, ServerSession
    from rdskit.local.fleet.engine import Server

# The AWS drivers query it in this form. ``id`` is the ``server_id``, by which SHOW REPLICA STATUS names the writer.
# Users need a grant for it, as they do on RDS.
_VIEW: Final = f"""
create definer = current_user sql security definer view mysql.rds_topology as
select member.id, member.endpoint, member.port from {SCHEMA}.topology join json_table(topology.members, '$[*]' columns (
    id bigint path '$.server_id', endpoint varchar(255) path '$.name_in_rds', port int path '$.port_in_rds')) as member
"""  # noqa: S608 - our own constant


class MultiAZMember(ClusterMember):
    """MySQL server as an instance of a Multi-AZ DB cluster; arguments as of its parent."""

    def _make_views(self, session: ServerSession) -> None:
        session.execute(_VIEW)


class MultiAZMySQL(MySQL):
    """RDS for MySQL in a Multi-AZ DB cluster."""

    def server(self, data: Path, address: Endpoint, account: Account, identifier: str) -> Server:
        """Return the server of a data directory."""
        return MultiAZMember(data, address, self._installation(), account, identifier)
