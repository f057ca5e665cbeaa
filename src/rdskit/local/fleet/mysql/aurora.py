"""Emulate Aurora MySQL on plain MySQL: synchronous readers, and the view that clients query.

The endpoint replaces Aurora's own names with those of a plain server: see
``rdskit.local.endpoints.aurora_statements``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.local.fleet.mysql.cluster import SCHEMA, ClusterMember
from rdskit.local.fleet.mysql.engine import MySQL

if TYPE_CHECKING:
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.endpoints.model import Protocol as WireProtocol
    from rdskit.local.engines.session import Account, ServerSession
    from rdskit.local.fleet.engine import Server

# The columns are those that the Aurora User Guide names, "Viewing replica lag". The writer is the queried server if it
# accepts writes, else the server that it follows; during a promotion there may be none. The roles are read live,
# because a table that names the writer would be stale just when clients ask. A server knows only its own lag: others
# show 0.
_VIEW: Final = f"""
create definer = current_user sql security definer view {SCHEMA}.replica_host_status as
select member.identifier as SERVER_ID,
       if(if(own.writes, member.identifier = own.identifier, member.host = source.host and member.port = source.port),
          'MASTER_SESSION_ID', member.session) as SESSION_ID,
       now(6) as LAST_UPDATE_TIMESTAMP,
       if(member.identifier = own.identifier,
          coalesce((select timestampdiff(microsecond, min(since), now(6)) / 1000
                    from (select processing_transaction_original_commit_timestamp as since
                          from performance_schema.replication_applier_status_by_coordinator
                          where processing_transaction <> ''
                          union all
                          select applying_transaction_original_commit_timestamp
                          from performance_schema.replication_applier_status_by_worker
                          where applying_transaction <> '') as waiting
                    where since > '1971-01-01'), 0), 0) as REPLICA_LAG_IN_MILLISECONDS,
       0e0 as CPU,
       1 as IS_CURRENT
from {SCHEMA}.topology
join json_table(topology.members, '$[*]' columns (
    identifier varchar(63) path '$.identifier', session char(36) path '$.session',
    host varchar(64) path '$.host', port int path '$.port')) as member
join (select max(if(variable_name = 'report_host', variable_value, null)) as identifier,
             max(variable_name = 'super_read_only' and variable_value = 'OFF') as writes
      from performance_schema.global_variables where variable_name in ('report_host', 'super_read_only')) as own
left join performance_schema.replication_connection_configuration as source on source.channel_name = ''
"""  # noqa: S608 - our own constants
# A row of mysql.db without a user name grants to every user, as it once did for the database "test". No GRANT statement
# writes such a row.
_FOR_EVERYBODY: Final = "insert into mysql.db (host, db, user, select_priv) values ('%%', %s, '', 'Y')"


class AuroraMySQLMember(ClusterMember):
    """MySQL server as an instance of an Aurora cluster; arguments as of its parent."""

    def _make_views(self, session: ServerSession) -> None:
        session.execute(_VIEW)
        session.execute(_FOR_EVERYBODY, SCHEMA)
        # The row was written past the GRANT statement, so the server must reload its privileges. LOCAL keeps the flush
        # out of the binary log.
        session.execute("flush local privileges")


class AuroraMySQL(MySQL):
    """Aurora MySQL, emulated by MySQL."""

    name = "aurora-mysql"
    protocol: WireProtocol = "aurora-mysql"

    def server(self, data: Path, address: Endpoint, account: Account, identifier: str) -> Server:
        """Return the server of a data directory."""
        return AuroraMySQLMember(data, address, self._installation(), account, identifier)
