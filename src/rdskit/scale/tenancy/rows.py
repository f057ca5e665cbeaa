"""Tenants by row: what the database must be like, and what is made of each statement.

On PostgreSQL the server itself keeps tenants apart, by row-level security: the login must be one that it holds for.
The predicate in the text is a second line there, where the statement is understood. On MySQL and MariaDB it is the only
one, so that a statement that is not understood is refused.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from rdskit.client.api import dialect_of
from rdskit.errors import ConfigError
from rdskit.kernel.scope import TENANT_SETTING, TENANT_VARIABLE
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.insert import name_parts, quote_part
from rdskit.kernel.sql.tokens import TokenType, excerpt, tokenize
from rdskit.scale.tenancy.model import TenantTables, is_whole, value_on_mysql, value_on_postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from rdskit.client.api import Database, Transaction
    from rdskit.kernel.ports import Row

_OWN: Final = "rdskit_"  # tables of rdskit itself, which hold no rows of tenants
_LOGIN: Final = "select current_user, rolsuper, rolbypassrls from pg_roles where rolname = current_user"
# Relations that the login may read or change; the column, what kind of relation it is, and what its policies say.
_POSTGRES: Final = """
select c.relname, c.relkind::text as kind, format_type(a.atttypid, a.atttypmod) as type,
       c.relrowsecurity, pg_has_role(current_user, c.relowner, 'usage') as owned,
       has_table_privilege(c.oid, 'truncate') as truncates,
       coalesce((select bool_or(option in ('security_invoker=true', 'security_invoker=on', 'security_invoker=1'))
                 from unnest(c.reloptions) as option), false) as as_caller,
       (select count(*) from pg_policy p where p.polrelid = c.oid and p.polpermissive) as policies,
       (select count(*) from pg_policy p where p.polrelid = c.oid and p.polpermissive
        and (coalesce(pg_get_expr(p.polqual, p.polrelid), :setting) not like '%' || :setting || '%'
             or coalesce(pg_get_expr(p.polwithcheck, p.polrelid), :setting) not like '%' || :setting || '%')) as loose
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join pg_attribute a on a.attrelid = c.oid and a.attname = :column and not a.attisdropped
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
  and has_schema_privilege(n.oid, 'usage')
  and has_table_privilege(c.oid, 'select, insert, update, delete')
  and not exists (select from pg_depend d
                  where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e')
"""
_MYSQL: Final = """
select t.table_name, c.data_type, c.column_type, c.character_set_name, c.collation_name
from information_schema.tables t
left join information_schema.columns c
  on c.table_schema = t.table_schema and c.table_name = t.table_name and c.column_name = :column
where t.table_schema = database()
"""
_MYSQL_KEYS: Final = """
select table_name, index_name, max(lower(column_name) = lower(:column))
from information_schema.statistics where table_schema = database() and non_unique = 0
group by table_name, index_name
"""
_MYSQL_ROUTINES: Final = """
select lower(routine_name) from information_schema.routines
where routine_schema = database() and routine_type = 'FUNCTION'
"""
_INSTALL: Final = "pip install 'rdskit[tenancy]'"


class RowGuard:
    """Changes the statements and rows of tenants; implements the port ``kernel.sql.Rewriter``."""

    def __init__(self, tables: TenantTables) -> None:
        """Begin with what the catalog says.

        Args:
            tables: the tables of the database.
        """
        self._tables = tables

    def admit(self, tenant: str) -> None:
        """Refuse an id that is no value of a tenant column.

        Args:
            tenant: the id.

        Raises:
            ConfigError: a column holds whole numbers, and the id is none in its shortest form.
        """
        if self._tables.numeric and not (tenant.isdecimal() and str(int(tenant)) == tenant):
            raise ConfigError(
                f"tenant id {tenant!r} is no whole number, and column {self._tables.column!r} of table "
                f"{min(self._tables.numeric)!r} is: give the number"
            )

    def text(self, source: str) -> str:
        """Return the statement that is sent in place of the caller's.

        Raises:
            ConfigError: it could reach rows of other tenants.
        """
        on_postgres = self._tables.dialect is Dialect.POSTGRES
        tokens = tokenize(source, self._tables.dialect)
        words = {token.text.lower() for token in tokens if token.type is TokenType.WORD}
        lowered = source.lower()
        if TENANT_SETTING in lowered or TENANT_VARIABLE in lowered or (on_postgres and "set_config" in words):
            raise ConfigError(
                f"the statement names the session's tenant, which belongs to rdskit; SQL: {excerpt(source)}"
            )
        if any(token.type is TokenType.EXECUTABLE for token in tokens):
            raise ConfigError(f"a comment that the server runs is not allowed for tenants; SQL: {excerpt(source)}")
        try:
            from rdskit.scale.tenancy.predicate import (  # noqa: PLC0415 - needs an extra
                NotUnderstoodError,
                with_predicate,
            )
        except ModuleNotFoundError as error:
            if on_postgres:
                return source  # the policies hold without it
            raise _missing() from error
        try:
            return with_predicate(source, self._tables)
        except NotUnderstoodError as error:
            if on_postgres:
                return source
            raise ConfigError(
                f"the statement cannot be kept to one tenant: {error}; write it in another way, or run it without a "
                f"tenant; SQL: {excerpt(source)}"
            ) from error

    def rows(self, table: str, rows: Any, tenant: str | None) -> Any:
        """Return rows with the tenant in each.

        Raises:
            ConfigError: the table is no tenant's, or a row is another tenant's.
        """
        name = name_parts(table, self._tables.dialect)[-1]
        if tenant is None or name not in self._tables.values or "." in table:
            raise ConfigError(
                f"insert_many into {table!r} is not for tenants: it needs a table with the column "
                f"{self._tables.column!r}, named without its schema"
            )
        value: Any = int(tenant) if name in self._tables.numeric else tenant
        if self._tables.values[name].endswith("::uuid"):
            value = UUID(tenant)
        add = _Adding(self._tables.column, value)
        return add.later(rows) if isinstance(rows, AsyncIterable) else add.now(rows)


class _Adding:
    def __init__(self, column: str, value: Any) -> None:
        self._column = column
        self._value = value

    def now(self, rows: Any) -> Iterator[Mapping[str, Any]]:
        for row in rows:
            yield self._with_tenant(row)

    async def later(self, rows: Any) -> AsyncIterator[Mapping[str, Any]]:
        async for row in rows:
            yield self._with_tenant(row)

    def _with_tenant(self, row: Any) -> Mapping[str, Any]:
        found = dict(row) if isinstance(row, Mapping) else dict(row.items())
        if any(
            name.lower() == self._column.lower() and str(value) != str(self._value) for name, value in found.items()
        ):
            raise ConfigError(f"a row for insert_many has another tenant in {self._column!r}: leave the column out")
        found = {name: value for name, value in found.items() if name.lower() != self._column.lower()}
        return {**found, self._column: self._value}


async def inspected(db: Database, column: str, shared: frozenset[str]) -> RowGuard:
    """Look at a database, and return what keeps the tenants of its rows apart.

    Args:
        db: the database, as tenants use it.
        column: the column that says whose a row is.
        shared: tables that all tenants may read.

    Raises:
        ConfigError: it would not keep them apart; the error says why, and what to do.
    """
    if dialect_of(db) is Dialect.POSTGRES:
        return RowGuard(await _on_postgres(db, column, shared))
    try:
        import rdskit.scale.tenancy.predicate  # noqa: F401, PLC0415 - needs an extra
    except ModuleNotFoundError as error:
        raise _missing() from error
    return RowGuard(await _on_mysql(db, column, shared))


async def _on_postgres(db: Database, column: str, shared: frozenset[str]) -> TenantTables:
    async def read(tx: Transaction) -> tuple[Row | None, list[Row]]:
        return await tx.fetch_one(_LOGIN), await tx.fetch_all(_POSTGRES, column=column, setting=TENANT_SETTING)

    login, rows = await db.run(read)
    if login is None or login["rolsuper"] or login["rolbypassrls"]:
        what = "a superuser" if login is None or login["rolsuper"] else "BYPASSRLS"
        name = None if login is None else login[0]
        raise ConfigError(
            f"login {name!r} has the attribute of {what}, for which row-level security does not hold: use one without"
        )
    values, numeric = {}, set()
    for row in rows:
        name = row["relname"]
        if name in shared or name.startswith(_OWN):
            continue
        if problem := _problem(row, column):
            raise ConfigError(f"{_KINDS[row['kind']]} {name!r} does not keep tenants apart: {problem}")
        if row["type"] is not None:
            values[name] = value_on_postgres(row["type"])
            if row["type"] in {"smallint", "integer", "bigint"}:
                numeric.add(name)
    return TenantTables(Dialect.POSTGRES, column, values, frozenset(numeric), shared, frozenset(), frozenset())


_KINDS: Final = {
    "r": "table",
    "p": "table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}


def _problem(row: Row, column: str) -> str:
    """Return why a relation does not keep tenants apart, and the next step; empty where it does."""
    name = quote_part(row["relname"], Dialect.POSTGRES)
    if row["kind"] == "v":
        wrong = "it reads with its owner's rights"
        return "" if row["as_caller"] else f"{wrong}; alter view {name} set (security_invoker = true), or see shared="
    problems = {
        "row-level security does not hold for it; revoke the login's rights, or name it in shared=": row["kind"]
        in "mf",
        f"it has no column {column!r}; name it in shared= if all tenants may read it, or revoke the login's rights": (
            row["type"] is None
        ),
        "the login owns it, and an owner can switch its policies off; use a login that owns no tables": row["owned"],
        f"it has no row-level security; alter table {name} enable row level security, and create its policy": (
            not row["relrowsecurity"]
        ),
        f"it has no policy, or one that does not compare with current_setting('{TENANT_SETTING}'); correct it": (
            not row["policies"] or row["loose"]
        ),
        f"TRUNCATE asks no policy; revoke truncate on {name} from the login": row["truncates"],
    }
    return next((text for text, holds in problems.items() if holds), "")


async def _on_mysql(db: Database, column: str, shared: frozenset[str]) -> TenantTables:
    async def read(tx: Transaction) -> tuple[list[Row], list[Row], list[Row]]:
        return (
            await tx.fetch_all(_MYSQL, column=column),
            await tx.fetch_all(_MYSQL_KEYS, column=column),
            await tx.fetch_all(_MYSQL_ROUTINES),
        )

    tables, keys, routines = await db.run(read)
    values, numeric = {}, set()
    for name, data_type, full, charset, collation in tables:
        if data_type is None or name in shared:
            continue
        kind = str(data_type).lower()
        unsigned = "unsigned" in str(full).lower()
        values[name] = value_on_mysql(name, kind, unsigned=unsigned, charset=charset, collation=collation)
        if is_whole(kind):
            numeric.add(name)
    partial = {key[0] for key in keys if not key[2]}
    return TenantTables(
        Dialect.MYSQL,
        column,
        values,
        frozenset(numeric),
        shared,
        frozenset(values.keys() - partial),
        frozenset(row[0] for row in routines),
    )


def _missing() -> ConfigError:
    return ConfigError(f"by='row' on MySQL and MariaDB reads statements with sqlglot, which is missing: {_INSTALL}")


def row_policy(table: str, column: str = "tenant_id", kind: str = "text") -> tuple[str, ...]:
    """Return the statements that keep the tenants of one table of PostgreSQL apart, for a migration.

    Args:
        table: its name, with its schema where it needs one.
        column: the column that says whose a row is.
        kind: the column's type.
    """
    quoted = ".".join(quote_part(part, Dialect.POSTGRES) for part in name_parts(table, Dialect.POSTGRES))
    field = quote_part(column, Dialect.POSTGRES)
    # After a SET the setting is '' where it was never set, which is no number.
    current = f"nullif(current_setting('{TENANT_SETTING}', true), '')::{kind}"
    return (
        f"alter table {quoted} enable row level security",
        f"alter table {quoted} force row level security",
        f"alter table {quoted} alter column {field} set default {current}",
        f"create policy rdskit_tenant on {quoted} using ({field} = {current}) with check ({field} = {current})",
    )
