"""The queries for the objects of MySQL and MariaDB: rows of name and definition, in a fixed order.

They use what the information schemas of both have. Row counts, AUTO_INCREMENT values and the tables of rdskit are left
out.
"""

from __future__ import annotations

from typing import Final

_OURS: Final = "table_name not like 'rdskit\\_%'"

QUERIES: Final = (
    f"""
    select concat('table ', table_name),
           concat_ws(' ', 'engine', engine, table_collation, coalesce(row_format, ''), nullif(create_options, ''))
    from information_schema.tables
    where table_schema = database() and table_type = 'BASE TABLE' and {_OURS} order by 1
    """,
    f"""
    select concat('table ', table_name),
           concat_ws(' ', column_name, column_type, coalesce(collation_name, ''), is_nullable,
                     coalesce(concat('default ', column_default), ''), extra, coalesce(generation_expression, ''))
    from information_schema.columns
    where table_schema = database() and {_OURS}
      and table_name not in (select v.table_name from information_schema.views v where v.table_schema = database())
    order by 1, column_name
    """,
    f"""
    select concat('table ', table_name),
           concat('index ', index_name, ' ', min(non_unique), ' ', min(index_type), ' ',
                  group_concat(concat(coalesce(column_name, ''), ':', coalesce(sub_part, '')) order by seq_in_index))
    from information_schema.statistics where table_schema = database() and {_OURS}
    group by table_name, index_name order by 1, index_name
    """,
    f"""
    select concat('table ', r.table_name),
           concat_ws(' ', 'foreign key', r.constraint_name, r.referenced_table_name, r.update_rule, r.delete_rule,
                     (select group_concat(concat(k.column_name, ':', k.referenced_column_name)
                                          order by k.ordinal_position)
                      from information_schema.key_column_usage k
                      where k.constraint_schema = r.constraint_schema and k.constraint_name = r.constraint_name
                        and k.table_name = r.table_name))
    from information_schema.referential_constraints r
    where r.constraint_schema = database() and r.{_OURS} order by 1, r.constraint_name
    """,
    """
    select concat('check ', constraint_name), check_clause
    from information_schema.check_constraints where constraint_schema = database() order by 1, 2
    """,
    """
    select concat('view ', table_name), concat_ws(' ', view_definition, security_type)
    from information_schema.views where table_schema = database() order by 1
    """,
    """
    select concat(lower(routine_type), ' ', routine_name),
           concat_ws(' ', coalesce(dtd_identifier, ''), routine_definition, is_deterministic, sql_data_access)
    from information_schema.routines where routine_schema = database() order by 1
    """,
    """
    select concat('trigger ', trigger_name),
           concat_ws(' ', action_timing, event_manipulation, event_object_table, action_order, action_statement)
    from information_schema.triggers where trigger_schema = database() order by 1
    """,
    """
    select concat('event ', event_name),
           concat_ws(' ', event_type, coalesce(interval_value, ''), coalesce(interval_field, ''), status,
                     event_definition)
    from information_schema.events where event_schema = database() order by 1
    """,
)
