"""The queries for PostgreSQL's objects: rows of name and definition, in a fixed order.

System schemas, objects of extensions and the tables of rdskit are left out. With a namespace its own name is left out
of the objects' names and definitions, so that schemas of many tenants can be compared.
"""

from __future__ import annotations

from typing import Final

#: Whether the schema ``n`` counts.
_COUNTS: Final = """
    n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and (:namespace::text is null or n.nspname = :namespace)
"""
#: The name of ``{0}`` in schema ``n``.
_NAMED: Final = "case when :namespace::text is null then n.nspname || '.' else '' end || {0}"
#: A definition without the namespace's own name.
_BARE: Final = "case when :namespace::text is null then {0} else replace({0}, :namespace || '.', '') end"
_NOT_OF_EXTENSION: Final = """
    not exists (select from pg_depend d where d.classid = '{0}'::regclass and d.objid = {1} and d.deptype = 'e')
"""


def _named(column: str) -> str:
    return _NAMED.format(column)


def _bare(expression: str) -> str:
    return _BARE.format(expression)


def _own(catalog: str, oid: str) -> str:
    return _NOT_OF_EXTENSION.format(catalog, oid)


_RELATIONS: Final = f"""
    pg_class c join pg_namespace n on n.oid = c.relnamespace and {_COUNTS} and c.relname !~ '^rdskit_'
    and {_own("pg_class", "c.oid")}
"""

QUERIES: Final = (
    # Columns, in order of their names: the order in which they were added is no difference between two deployments.
    f"""
    select 'table ' || {_named("c.relname")},
           a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
           || case when a.attnotnull then ' not null' else '' end
           || coalesce(' collate ' || nullif(co.collname, 'default'), '')
           || case a.attidentity when 'a' then ' generated always as identity' when 'd' then ' identity' else '' end
           || case when a.attgenerated <> '' then ' generated ' || a.attgenerated::text || ' ' else '' end
           || coalesce(' default ' || {_bare("pg_get_expr(ad.adbin, ad.adrelid)")}, '')
    from {_RELATIONS}
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef ad on ad.adrelid = c.oid and ad.adnum = a.attnum
    left join pg_collation co on co.oid = a.attcollation
    where c.relkind in ('r', 'p', 'f')
    order by 1, a.attname
    """,
    f"""
    select 'table ' || {_named("c.relname")},
           concat_ws(' ', 'kind', c.relkind, case when c.relrowsecurity then 'row security' end,
                     case when c.relforcerowsecurity then 'forced' end,
                     case when c.relpersistence = 'u' then 'unlogged' end,
                     array_to_string(c.reloptions, ' '), pg_get_partkeydef(c.oid),
                     pg_get_expr(c.relpartbound, c.oid))
    from {_RELATIONS} where c.relkind in ('r', 'p', 'f') order by 1
    """,
    f"""
    select 'table ' || {_named("c.relname")},
           'constraint ' || k.conname || ' ' || {_bare("pg_get_constraintdef(k.oid)")}
           || case when k.convalidated then '' else ' not validated' end
    from {_RELATIONS} join pg_constraint k on k.conrelid = c.oid and k.contype <> 'n' order by 1, 2
    """,
    f"""
    select 'index ' || {_named("i.relname")},
           {_bare("pg_get_indexdef(x.indexrelid)")} || case when x.indisvalid then '' else ' invalid' end
    from {_RELATIONS} join pg_index x on x.indrelid = c.oid join pg_class i on i.oid = x.indexrelid
    where c.relkind in ('r', 'p', 'm') order by 1
    """,
    f"""
    select case c.relkind when 'v' then 'view ' else 'materialized view ' end || {_named("c.relname")},
           {_bare("pg_get_viewdef(c.oid)")} || coalesce(' ' || array_to_string(c.reloptions, ' '), '')
    from {_RELATIONS} where c.relkind in ('v', 'm') order by 1
    """,
    f"""
    select 'sequence ' || {_named("c.relname")},
           concat_ws(' ', format_type(s.seqtypid, null), s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcycle)
    from {_RELATIONS} join pg_sequence s on s.seqrelid = c.oid order by 1
    """,
    f"""
    select 'trigger ' || {_named("c.relname")} || '.' || t.tgname,
           {_bare("pg_get_triggerdef(t.oid)")} || ' ' || t.tgenabled::text
    from {_RELATIONS} join pg_trigger t on t.tgrelid = c.oid and not t.tgisinternal order by 1
    """,
    f"""
    select 'policy ' || {_named("c.relname")} || '.' || p.polname,
           concat_ws(' ', p.polcmd, p.polpermissive, p.polroles::text, {_bare("pg_get_expr(p.polqual, p.polrelid)")},
                     {_bare("pg_get_expr(p.polwithcheck, p.polrelid)")})
    from {_RELATIONS} join pg_policy p on p.polrelid = c.oid order by 1
    """,
    f"""
    select 'function ' || {_named("p.proname")} || '(' || pg_get_function_identity_arguments(p.oid) || ')',
           {_bare("pg_get_functiondef(p.oid)")}
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace and {_COUNTS}
    where p.prokind in ('f', 'p') and {_own("pg_proc", "p.oid")} order by 1
    """,
    f"""
    select 'type ' || {_named("t.typname")},
           case t.typtype
             when 'e' then 'enum ' || (select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
                                       from pg_enum e where e.enumtypid = t.oid)
             when 'd' then 'domain ' || format_type(t.typbasetype, t.typtypmod)
                           || case when t.typnotnull then ' not null' else '' end || coalesce(' ' || t.typdefault, '')
                           || coalesce((select string_agg(pg_get_constraintdef(k.oid), ' ' order by k.conname)
                                        from pg_constraint k where k.contypid = t.oid), '')
             when 'r' then 'range ' || (select format_type(r.rngsubtype, null) from pg_range r where r.rngtypid = t.oid)
             else 'composite ' || (select string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', '
                                                     order by a.attnum)
                                   from pg_attribute a where a.attrelid = t.typrelid and not a.attisdropped)
           end
    from pg_type t join pg_namespace n on n.oid = t.typnamespace and {_COUNTS}
    left join pg_class tc on tc.oid = t.typrelid
    where (t.typtype in ('e', 'd', 'r') or (t.typtype = 'c' and tc.relkind = 'c')) and {_own("pg_type", "t.oid")}
    order by 1
    """,
    """
    select 'extension ' || extname, extversion from pg_extension where :namespace::text is null order by 1
    """,
    f"""
    select 'schema ' || n.nspname, '' from pg_namespace n where {_COUNTS} and :namespace::text is null order by 1
    """,
)
