"""Run Multi-AZ DB clusters of PostgreSQL: readable standbys, and the functions that clients query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.kernel.typing import override
from rdskit.local.fleet.postgres.cluster import MEMBERS_FILE, ClusterMember
from rdskit.local.fleet.postgres.engine import Postgres

if TYPE_CHECKING:
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.engines.session import Account
    from rdskit.local.fleet.engine import Server

# The functions of the RDS User Guide, "Multi-AZ DB clusters", in the form that the AWS drivers query. On RDS they are
# an extension; here every new database has them.
_FUNCTIONS: Final = f"""
create schema rds_tools;

grant usage on schema rds_tools to public;

create function rds_tools.dbi_resource_id() returns text language sql stable security definer
set search_path = pg_catalog, pg_temp as $$
    select member ->> 'name' from (select pg_read_file('{MEMBERS_FILE}')::json as facts) cluster,
        json_array_elements(facts -> 'members') member where member ->> 'identifier' = facts ->> 'own'
$$;

create function rds_tools.multi_az_db_cluster_source_dbi_resource_id() returns text language sql stable
security definer set search_path = pg_catalog, pg_temp as $$
    select member ->> 'name' from (select pg_read_file('{MEMBERS_FILE}')::json as facts) cluster,
        json_array_elements(facts -> 'members') member where member ->> 'identifier' = facts ->> 'writer'
$$;

create function rds_tools.show_topology(caller text default null, out id text, out endpoint text, out port int)
returns setof record language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select member ->> 'name', member ->> 'name_in_rds', (member ->> 'port_in_rds')::int
    from (select pg_read_file('{MEMBERS_FILE}')::json as facts) cluster, json_array_elements(facts -> 'members') member
$$;
"""  # noqa: S608 - our own constants


class MultiAZMember(ClusterMember):
    """PostgreSQL server as an instance of a Multi-AZ DB cluster; arguments as of its parent."""

    functions = _FUNCTIONS


class MultiAZPostgres(Postgres):
    """RDS for PostgreSQL in a Multi-AZ DB cluster."""

    @override
    def server(self, data: Path, address: Endpoint, account: Account, identifier: str) -> Server:
        """Return the server of a data directory."""
        return MultiAZMember(data, address, self._binaries_of(data), account)
