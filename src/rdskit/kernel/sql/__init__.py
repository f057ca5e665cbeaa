"""Compile SQL text with ``:name`` parameters to the driver's style, and classify its effects, without a parser.

A tokenizer for PostgreSQL and for MySQL/MariaDB (`tokens`), parameters (`compile`, `bind`), and the effect of the
statement on data and session (`effects`, over the built-in functions listed in `functions`). All of it is linear in
the length of the text; callers keep a `Statement` per text.
"""

from rdskit.kernel.sql.bind import bind, expand, named_arguments
from rdskit.kernel.sql.cache import (
    OPTIONS,
    STREAM_OPTIONS,
    Rewriter,
    StatementCache,
    bind_call,
    one_mapping,
    sql_expected,
)
from rdskit.kernel.sql.compile import compile_statement
from rdskit.kernel.sql.functions import function_name
from rdskit.kernel.sql.listening import refuse_listening
from rdskit.kernel.sql.model import NO_TABLES, UNKNOWN_TABLES, Dialect, Effect, Kind, ParameterStyle, Statement, Tables

__all__ = [
    "NO_TABLES",
    "OPTIONS",
    "STREAM_OPTIONS",
    "UNKNOWN_TABLES",
    "Dialect",
    "Effect",
    "Kind",
    "ParameterStyle",
    "Rewriter",
    "Statement",
    "StatementCache",
    "Tables",
    "bind",
    "bind_call",
    "compile_statement",
    "expand",
    "function_name",
    "named_arguments",
    "one_mapping",
    "refuse_listening",
    "sql_expected",
]
