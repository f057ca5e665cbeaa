"""Emulate Aurora PostgreSQL on plain PostgreSQL: synchronous readers, and the functions that clients query."""

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

# Lag in milliseconds that a reader without a stream reports. Aurora's readers share the writer's storage. A reader here
# may have WAL that a failover has lost, until it is rewound, and must not look up to date.
_CUT_OFF: Final = 3_600_000

# The columns are those of the Aurora User Guide, "aurora_replica_status". A column that only shared storage has is
# null.
#
# The search path names pg_temp, and names it last. Without it, pg_temp is searched first, and a user's temporary view
# would replace a catalog in a function that runs with a superuser's rights. Source: PostgreSQL documentation, CREATE
# FUNCTION, "Writing SECURITY DEFINER Functions Safely".
#
# Aurora does not support the functions that return a standby's position. Here they are revoked instead, so that a
# client
# that depends on them fails here too. One of them works on Aurora with logical replication only; it is revoked as well.
_FUNCTIONS: Final = f"""
create function pg_catalog.aurora_version() returns text language sql stable
as $$ select current_setting('server_version') $$;

create function pg_catalog.aurora_db_instance_identifier() returns text language sql stable security definer
set search_path = pg_catalog, pg_temp as $$ select pg_read_file('{MEMBERS_FILE}')::json ->> 'own' $$;

create function pg_catalog.aurora_replica_status(
    out server_id text, out session_id text, out durable_lsn bigint, out highest_lsn_rcvd bigint,
    out current_read_lsn bigint, out cur_replay_latency_in_usec bigint, out active_txns bigint, out is_current boolean,
    out last_transport_error int, out last_error_timestamp timestamptz, out last_update_timestamp timestamptz,
    out feedback_xmin xid, out feedback_epoch int, out replica_lag_in_msec double precision,
    out log_stream_speed_in_kib_per_second double precision, out log_buffer_sequence_number bigint,
    out oldest_read_view_trx_id bigint, out oldest_read_view_lsn bigint, out pending_read_ios int,
    out read_ios_sec int, out iops int, out cpu double precision
) returns setof record language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    with cluster as (select pg_read_file('{MEMBERS_FILE}')::json as facts),
    own as (
        select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - '0/0' as lsn,
               case when not pg_is_in_recovery() then 0
                    when not exists (select from pg_stat_wal_receiver where status = 'streaming') then {_CUT_OFF}
                    when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
                    else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000 end as lag
    ),
    replica as (
        select member ->> 'identifier' as identifier, member ->> 'session' as session,
               member ->> 'identifier' = facts ->> 'writer' as writes, member ->> 'identifier' = facts ->> 'own' as own,
               stream.flush_lsn - '0/0' as received, stream.replay_lsn - '0/0' as replayed,
               extract(epoch from stream.replay_lag) * 1000 as lag, stream.pid is not null as streams
        from cluster, json_array_elements(facts -> 'members') member
        left join pg_stat_replication stream on stream.application_name = member ->> 'name'
    )
    select identifier, case when writes then 'MASTER_SESSION_ID' else session end,
           case when writes then own.lsn end::bigint, received::bigint,
           case when replica.own then own.lsn else replayed end::bigint, null::bigint, null::bigint,
           pg_is_in_recovery() or writes or streams, null::int, null::timestamptz, clock_timestamp(), null::xid,
           null::int,
           (case when writes then null
                 else coalesce(case when replica.own then own.lag else replica.lag end, 0) end)::double precision,
           null::double precision, null::bigint, null::bigint, null::bigint, null::int, null::int, null::int,
           0::double precision
    from replica, own
$$;

revoke execute on function
    pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn(), pg_catalog.pg_stat_get_wal_receiver(),
    pg_catalog.pg_last_xact_replay_timestamp(), pg_catalog.pg_current_wal_insert_lsn() from public;
"""  # noqa: S608 - our own constants


class AuroraMember(ClusterMember):
    """PostgreSQL server as an instance of an Aurora cluster; arguments as of its parent."""

    functions = _FUNCTIONS


class AuroraPostgres(Postgres):
    """Aurora PostgreSQL, emulated by PostgreSQL."""

    name = "aurora-postgresql"

    @override
    def server(self, data: Path, address: Endpoint, account: Account, identifier: str) -> Server:
        """Return the server of a data directory."""
        return AuroraMember(data, address, self._binaries_of(data), account)
