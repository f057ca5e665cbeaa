"""Translate parameter groups of RDS for a real PostgreSQL server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.fleet.translation import Translation, is_on, why_formula_is_ignored

if TYPE_CHECKING:
    from collections.abc import Mapping

#: RDS does not let users change these. They control replication, name files and programs, or weaken a server's checks.
KEPT_BY_RDS: Final = re.compile(
    r"archive_.*|.*_file|.*_directory|.*_directories|bonjour.*|config_.*|data_.*|hot_standby|listen_addresses|port"
    r"|primary_.*|recovery_.*|restart_after_crash|restore_command|ssl.*|synchronous_standby_names|unix_.*"
    r"|wal_level|wal_retrieve_retry_interval|allow_.*|cluster_name|event_source|fsync|full_page_writes"
    r"|.*_path(?<!search_path)|.*_command|.*_libraries(?<!shared_preload_libraries)(?<!session_preload_libraries)"
    r"|.*_library|.*_provider|krb_.*|gss_.*|debug_.*|trace_.*|ignore_.*|zero_damaged_pages|backtrace_functions"
    r"|jit_(debugging_support|dump_bitcode|profiling_support)|(pre|post)_auth_delay|send_abort_for_.*|syslog_.*"
    r"|log_file_mode|remove_temp_files_after_crash|wal_consistency_checking|synchronized_standby_slots|event_triggers"
    r"|shared_memory_type|dynamic_shared_memory_type|superuser_reserved_connections|reserved_connections|in_hot_standby"
)
#: Libraries that RDS allows in the lists of libraries to load.
LIBRARIES: Final = frozenset(
    {
        *("auto_explain", "orafce", "pg_bigm", "pg_cron", "pg_hint_plan", "pg_prewarm", "pg_similarity"),
        *("pg_stat_statements", "pg_tle", "pg_transport", "pgaudit", "pglogical", "plprofiler", "passwordcheck"),
    }
)
LIBRARY_LISTS: Final = ("shared_preload_libraries", "session_preload_libraries")
#: Parameters whose values are free text. Every other one is a number, a Boolean or an enumeration, or cannot change.
TEXTS: Final = frozenset(
    {
        *(*LIBRARY_LISTS, "client_encoding", "createrole_self_grant", "datestyle", "default_table_access_method"),
        *("default_tablespace", "default_text_search_config", "lc_messages", "lc_monetary", "lc_numeric", "lc_time"),
        *("log_connections", "log_destination", "log_filename", "log_line_prefix", "log_timezone", "search_path"),
        *("restrict_nonsystem_relation_kind", "temp_tablespaces", "timezone", "timezone_abbreviations"),
    }
)
_LOG_FILES: Final = re.compile(r"postgresql\.log\.%Y-%m-%d(-%H(%M)?)?")
# Accepted without effect: the endpoint speaks TLS instead of the server, and the server's log goes to the fleet's file.
_ELSEWHERE: Final = re.compile(r"^(ssl|ssl_.*|log_filename|logging_collector|log_destination|log_rotation_.*)$")


def translate(parameters: Mapping[str, str]) -> Translation:
    """Translate a parameter group.

    Args:
        parameters: values that the group sets. ``rds.force_ssl`` is applied by the endpoint.

    Raises:
        LocalError: a parameter that RDS does not let users change, or a value that it does not allow.
    """
    for name, value in parameters.items():
        if KEPT_BY_RDS.fullmatch(name.lower()) and not _ELSEWHERE.match(name):
            raise LocalError(f"parameter {name} cannot be modified: remove it from the parameter group")
        if reason := refused_text(name, value):
            raise LocalError(f"parameter {name}: {reason}")
    ignored = {name: reason for name, value in parameters.items() if (reason := _no_effect(name, value))}
    settings = {name: value for name, value in parameters.items() if name not in ignored}
    if is_on(parameters, "rds.logical_replication"):
        settings["wal_level"] = "logical"
    return Translation(settings, is_on(parameters, "rds.force_ssl"), ignored)


def refused_text(name: str, value: str) -> str:
    """Return why RDS does not allow a value that is a text; empty if it does."""
    if any(ord(character) < ord(" ") for character in value):
        return "the value has a control character: remove it"
    if name in LIBRARY_LISTS:
        unknown = sorted({each.strip() for each in value.split(",")} - LIBRARIES - {""})
        if unknown:
            return f"{unknown[0]!r} is not among the allowed libraries: {', '.join(sorted(LIBRARIES))}"
    if name == "log_filename" and not _LOG_FILES.fullmatch(value):
        return "allowed are postgresql.log.%Y-%m-%d and the same with -%H or -%H%M"
    return ""


def _no_effect(name: str, value: str) -> str:
    if _ELSEWHERE.match(name):
        return "TLS and logs are not the local server's own"
    return why_formula_is_ignored(value)
