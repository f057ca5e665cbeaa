"""Built-in functions with an effect, and built-in functions known to have none.

A function that is in neither set is a user's own, or a rare built-in one. A SELECT that calls it counts as a READ that
is not repeatable, unless the user or the server's catalog declares that the function only reads. If it writes, a
read-only host refuses it. Sources: ``pg_proc.provolatile`` of PostgreSQL 18 (a test compares every volatile built-in
with these sets); MySQL manual, chapter 14; MariaDB "Function and Operator Reference".
"""

from __future__ import annotations

import re
from typing import Final

from rdskit.errors import ConfigError
from rdskit.kernel.sql.model import Dialect

_PART: Final = r'(?:"[^".]+"|`[^`.]+`|[^\W\d][\w$]*)'


def function_name(text: str) -> str:
    """Return a function's name as in calls, without quotes; unquoted parts in lower case.

    Args:
        text: ``price``, ``shop.price`` or ``shop."Price"``.

    Raises:
        ConfigError: it is not a name.
    """
    if not re.fullmatch(rf"{_PART}(?:\.{_PART})*", text.strip()):
        raise ConfigError(f"readable={text!r} is not a function's name: give names such as 'price' or 'shop.price'")
    parts = text.strip().split(".")
    return ".".join(part[1:-1] if part[0] in '"`' else part.lower() for part in parts)


def word_set(*groups: str) -> frozenset[str]:
    """Return the set of words in some texts."""
    return frozenset(" ".join(groups).split())


SESSION_FUNCTIONS: Final = word_set(
    # session-level locks: held until released or disconnected
    """
    pg_advisory_lock pg_advisory_lock_shared pg_try_advisory_lock pg_try_advisory_lock_shared
    pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared
    get_lock release_lock release_all_locks
    """,
    # settings and connections of the session; set_config only if its third argument is not the word true
    """
    set_config setseed dblink_connect dblink_connect_u dblink_disconnect dblink_open dblink_close
    pg_replication_origin_session_setup pg_replication_origin_session_reset
    """,
)
"""Functions that change the session's state; all of them are in `WRITING_FUNCTIONS` too."""

WRITING_FUNCTIONS: Final = SESSION_FUNCTIONS | word_set(
    # sequences, and what depends on the writer's own session
    "nextval setval currval lastval last_insert_id pg_nextoid found_rows row_count",
    # locks of the transaction
    "pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_xact_lock",
    "pg_try_advisory_xact_lock_shared is_free_lock is_used_lock",
    # transaction ids and snapshots: assigned on the writer
    "txid_current pg_current_xact_id pg_export_snapshot",
    # large objects
    """
    lo_close lo_creat lo_create lo_export lo_from_bytea lo_get lo_import lo_lseek lo_lseek64 lo_open lo_put
    lo_tell lo_tell64 lo_truncate lo_truncate64 lo_unlink loread lowrite
    """,
    # SQL that is run from a string, here or elsewhere
    """
    dblink dblink_exec dblink_send_query dblink_get_result dblink_fetch dblink_cancel_query
    query_to_xml query_to_xml_and_xmlschema query_to_xmlschema cursor_to_xml cursor_to_xmlschema ts_rewrite ts_stat
    """,
    # messages, statistics and other processes of the server
    """
    pg_notify pg_logical_emit_message pg_cancel_backend pg_terminate_backend pg_reload_conf pg_rotate_logfile
    pg_log_backend_memory_contexts pg_stat_reset pg_stat_reset_backend_stats pg_stat_reset_replication_slot
    pg_stat_reset_shared pg_stat_reset_single_function_counters pg_stat_reset_single_table_counters
    pg_stat_reset_slru pg_stat_reset_subscription_stats pg_stat_force_next_flush pg_stat_clear_snapshot
    pg_clear_attribute_stats pg_clear_relation_stats pg_restore_attribute_stats pg_restore_relation_stats
    pg_import_system_collations pg_stop_making_pinned_objects pg_extension_config_dump
    pg_stat_statements_reset master_pos_wait master_gtid_wait source_pos_wait wait_for_executed_gtid_set
    """,
    # the write-ahead log, backups and recovery
    """
    pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn pg_walfile_name pg_walfile_name_offset
    pg_switch_wal pg_create_restore_point pg_log_standby_snapshot pg_backup_start pg_backup_stop pg_promote
    pg_wal_replay_pause pg_wal_replay_resume
    """,
    # replication slots and origins
    """
    pg_create_logical_replication_slot pg_create_physical_replication_slot pg_copy_logical_replication_slot
    pg_copy_physical_replication_slot pg_drop_replication_slot pg_replication_slot_advance pg_sync_replication_slots
    pg_logical_slot_get_binary_changes pg_logical_slot_get_changes pg_logical_slot_peek_binary_changes
    pg_logical_slot_peek_changes pg_replication_origin_advance pg_replication_origin_create
    pg_replication_origin_drop pg_replication_origin_xact_reset pg_replication_origin_xact_setup
    """,
    # index maintenance
    "brin_desummarize_range brin_summarize_new_values brin_summarize_range gin_clean_pending_list",
    "bt_index_check bt_index_parent_check",
)
"""Functions that write, lock, wait for a host's position, or work on the writer only: their statement is a WRITE."""

TABLELESS_FUNCTIONS: Final = word_set(
    "nextval setval currval lastval last_insert_id found_rows row_count set_config pg_notify",
    "txid_current pg_current_xact_id pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn",
    """
    pg_advisory_lock pg_advisory_lock_shared pg_try_advisory_lock pg_try_advisory_lock_shared
    pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared
    pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared
    get_lock release_lock release_all_locks is_free_lock is_used_lock
    """,
)
"""Functions of `WRITING_FUNCTIONS` that neither read nor write a table."""

_HARMLESS_EVERYWHERE: Final = word_set(
    # aggregates and windows
    """
    any_value avg bit_and bit_or bit_xor count cume_dist dense_rank first_value grouping json_arrayagg
    json_objectagg lag last_value lead max min nth_value ntile percent_rank percentile_cont percentile_disc rank
    row_number stddev stddev_pop stddev_samp sum var_pop var_samp variance
    """,
    # values
    "coalesce convert greatest least nullif row cast",
    # numbers
    """
    abs acos asin atan atan2 bit_count ceil ceiling cos degrees div exp floor ln log log10 mod pi pow power
    radians round sign sin sqrt tan
    """,
    # strings and bytes
    """
    ascii bit_length char char_length character_length chr concat concat_ws crc32 decode encode format left
    length lower lpad ltrim md5 octet_length position regexp_instr regexp_like regexp_replace regexp_substr
    repeat replace reverse right rpad rtrim substr substring to_char trim upper
    """,
    # dates and times
    """
    current_date current_time current_timestamp date date_add extract localtime localtimestamp now time
    timestamp
    """,
    # arrays, ranges and sets of rows
    "isempty",
    # JSON
    "json json_array json_exists json_object json_query json_table json_value",
    # facts about the server
    "current_role current_user session_user system_user user version",
    # types with a length, and words of the grammar that stand before a parenthesis
    """
    bigint bit character dec decimal float int integer interval nchar numeric real smallint text varchar varying
    all and any as between both by case columns cross cube distinct else end except exists filter for from full
    group groups having in inner intersect is join lateral leading like limit materialized natural not of offset
    on or order ordinality outer over primary range recursive rollup rows select sets some tablesample then
    trailing union unique using values when where window with within zone
    """,
)

_HARMLESS_ON_POSTGRES: Final = word_set(
    # aggregates and windows
    """
    array_agg bool_and bool_or corr covar_pop covar_samp every json_agg json_object_agg jsonb_agg
    jsonb_object_agg mode regr_slope string_agg
    """,
    # values
    "num_nonnulls num_nulls pg_typeof",
    # numbers
    "cbrt gcd lcm random scale trim_scale trunc width_bucket",
    # strings and bytes
    """
    btrim initcap levenshtein normalize overlay quote_ident quote_literal quote_nullable regexp_count
    regexp_match regexp_matches regexp_split_to_array regexp_split_to_table set_bit set_byte sha224 sha256
    sha384 sha512 similarity split_part starts_with string_to_array string_to_table strpos to_hex to_number
    translate unaccent unistr
    """,
    # dates and times
    """
    age clock_timestamp date_bin date_part date_trunc isfinite justify_days justify_hours justify_interval
    make_date make_interval make_time make_timestamp make_timestamptz statement_timestamp timezone to_date
    to_timestamp transaction_timestamp
    """,
    # arrays, ranges and sets of rows
    """
    array array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position
    array_positions array_prepend array_remove array_replace array_to_string array_upper cardinality daterange
    generate_series generate_subscripts int4range int8range lower_inc lower_inf numrange range_merge trim_array
    tsrange tstzrange unnest upper_inc upper_inf
    """,
    # JSON
    """
    array_to_json json_array_elements json_array_elements_text json_array_length json_build_array
    json_build_object json_each json_each_text json_extract_path json_extract_path_text json_object_keys
    json_populate_record json_strip_nulls json_to_record json_to_recordset json_typeof jsonb_array_elements
    jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text
    jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_keys jsonb_path_exists
    jsonb_path_match jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_populate_record
    jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof row_to_json to_json
    to_jsonb
    """,
    # text search and identifiers
    """
    phraseto_tsquery plainto_tsquery setweight to_tsquery to_tsvector ts_headline ts_rank ts_rank_cd
    websearch_to_tsquery gen_random_uuid uuidv4 uuidv7
    """,
    # facts about the server
    """
    current_catalog current_database current_query current_schema current_schemas current_setting
    has_schema_privilege has_table_privilege inet_client_addr inet_server_addr inet_server_port obj_description
    col_description pg_backend_pid pg_blocking_pids pg_column_size pg_current_snapshot pg_database_size
    pg_encoding_to_char pg_get_constraintdef pg_get_expr pg_get_indexdef pg_get_userbyid pg_get_viewdef
    pg_indexes_size pg_is_in_recovery pg_last_wal_receive_lsn pg_last_wal_replay_lsn
    pg_last_xact_replay_timestamp pg_postmaster_start_time pg_relation_size pg_size_pretty pg_sleep pg_sleep_for
    pg_sleep_until pg_table_is_visible pg_table_size pg_total_relation_size pg_wal_lsn_diff to_regclass
    to_regtype txid_current_snapshot
    """,
    # types with a length, and words of the grammar that stand before a parenthesis
    "bpchar timestamptz timetz varbit",
)

_HARMLESS_ON_MYSQL: Final = word_set(
    # aggregates and windows
    "group_concat std",
    # values
    "if ifnull isnull",
    # numbers
    "conv log2 rand truncate",
    # strings and bytes
    """
    elt field find_in_set from_base64 hex insert instr lcase locate mid ord quote sha1 sha2 soundex space strcmp
    aes_decrypt aes_encrypt compress inet6_aton inet6_ntoa inet_aton inet_ntoa is_ipv4 is_ipv6 is_uuid
    random_bytes sha uncompress weight_string substring_index to_base64 ucase unhex
    """,
    # dates and times
    """
    adddate curdate curtime date_format date_sub datediff day dayname dayofmonth dayofweek dayofyear from_days
    from_unixtime hour last_day makedate microsecond minute month monthname quarter sec_to_time second
    str_to_date subdate sysdate time_format time_to_sec timediff timestampadd timestampdiff to_days
    unix_timestamp utc_date utc_time utc_timestamp week weekday weekofyear year yearweek
    """,
    # JSON
    """
    json_contains json_contains_path json_extract json_keys json_length json_merge_patch json_overlaps
    json_search json_set json_type json_unquote json_valid
    """,
    # text search and identifiers
    "match uuid uuid_to_bin bin_to_uuid",
    # facts about the server
    "connection_id database gtid_subset gtid_subtract benchmark schema sleep",
    # types with a length, and words of the grammar that stand before a parenthesis
    "binary double nvarchar signed tinyint unsigned varbinary force ignore index key partition use",
)

HARMLESS_FUNCTIONS: Final = {
    Dialect.POSTGRES: _HARMLESS_EVERYWHERE | _HARMLESS_ON_POSTGRES,
    Dialect.MYSQL: _HARMLESS_EVERYWHERE | _HARMLESS_ON_MYSQL,
}
"""Functions, types and keywords before a parenthesis that have no effect, however often they run.

Each dialect has a set of its own, because a built-in of one may be a user's own function on the other, and write.
"""
