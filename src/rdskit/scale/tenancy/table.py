"""The table of tenants: which there are, where each is, and whether it is ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rdskit.client.api import dialect_of, parse
from rdskit.errors import ConfigError, StatementError
from rdskit.kernel.sql import Dialect
from rdskit.scale.tenancy.policy import checked_id

if TYPE_CHECKING:
    from rdskit.client.api import Database, Transaction
    from rdskit.kernel.ports import Row

TABLE: Final = "rdskit_tenant"
_COLUMNS: Final = "id, target, schema_name, state"
_POSTGRES: Final = """
    create table if not exists rdskit_tenant (
        id text primary key,
        target text,
        schema_name text,
        state text not null,
        created_at timestamptz not null default current_timestamp)
"""
_MYSQL: Final = """
    create table if not exists rdskit_tenant (
        id varchar(48) character set ascii collate ascii_bin primary key,
        target varchar(2048) character set utf8mb4,
        schema_name varchar(64) character set utf8mb4,
        state varchar(16) not null,
        created_at datetime(6) not null default current_timestamp(6)) engine = innodb
"""
_NO_SUCH_TABLE: Final = {"42P01", 1146}


@dataclass(frozen=True, slots=True)
class KnownTenant:
    """A row of the table.

    Attributes:
        id: the tenant's id.
        target: where its own database is, as for ``rdskit.connect``; None where it shares one.
        schema: its schema, on MySQL and MariaDB its database; None if it has none of its own.
        ready: it was added as a whole; False while ``add`` is under way, or after it was interrupted.
    """

    id: str
    target: str | None
    schema: str | None
    ready: bool


class TenantTable:
    """The table ``rdskit_tenant`` of a database.

    Args:
        db: the database, which need not be that of any tenant.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def setup(self) -> None:
        """Create the table if it is missing; may be called by several processes at once."""
        async with self._db.lock("rdskit tenants setup", timeout=60.0):
            await self._db.execute(_POSTGRES if dialect_of(self._db) is Dialect.POSTGRES else _MYSQL)

    async def get(self, tenant: str) -> KnownTenant | None:
        """Return what is known of a tenant, or None.

        Args:
            tenant: its id.

        Raises:
            ConfigError: the database has no such table.
        """
        rows = await self._read(f"select {_COLUMNS} from {TABLE} where id = :id", id=tenant)  # noqa: S608 - constants
        return rows[0] if rows else None

    async def all(self) -> list[KnownTenant]:
        """Return all tenants by their ids.

        Raises:
            ConfigError: the database has no such table.
        """
        return await self._read(f"select {_COLUMNS} from {TABLE} order by id")  # noqa: S608 - constants

    async def begin(self, tenant: str, *, target: str | None = None, schema: str | None = None) -> KnownTenant:
        """Write down that a tenant is being added, and return what is known of it.

        Args:
            tenant: its id.
            target: where its own database is; without a password.
            schema: its schema.

        Raises:
            ConfigError: the target holds a password, or the tenant is known already with another place.
        """
        checked_id(tenant)
        if target is not None and parse(target).password is not None:
            raise ConfigError(
                f"the target of tenant {tenant!r} holds a password, and tables are read by many: use "
                "secretsmanager:ID, or a URL without a password and credentials='iam'"
            )

        async def write(tx: Transaction) -> KnownTenant:
            found = await tx.fetch_one(f"select {_COLUMNS} from {TABLE} where id = :id", id=tenant)  # noqa: S608 - constants
            if found is None:
                await tx.execute(
                    f"insert into {TABLE} (id, target, schema_name, state) values (:id, :target, :schema, 'adding')",  # noqa: S608 - constants
                    {"id": tenant, "target": target, "schema": schema},
                )
                return KnownTenant(tenant, target, schema, ready=False)
            return _known(found)

        try:
            known = await self._db.run(write)
        except StatementError as error:
            raise _explained(error) from error
        if (known.target, known.schema) != (target, schema):
            raise ConfigError(
                f"tenant {tenant!r} is known already, at {known.target or known.schema or 'the shared database'}: "
                "leave the place out or give the same one"
            )
        return known

    async def finish(self, tenant: str) -> None:
        """Write down that a tenant is ready.

        Args:
            tenant: its id.
        """
        await self._db.execute(f"update {TABLE} set state = 'ready' where id = :id", id=tenant)  # noqa: S608 - constants

    async def _read(self, text: str, **parameters: str) -> list[KnownTenant]:
        async def read(tx: Transaction) -> list[Row]:  # on the writer: a replica may lag
            return await tx.fetch_all(text, parameters)

        try:
            return [_known(row) for row in await self._db.run(read)]
        except StatementError as error:
            raise _explained(error) from error


def _known(row: Row) -> KnownTenant:
    return KnownTenant(row[0], row[1], row[2], ready=row[3] == "ready")


def _explained(error: StatementError) -> Exception:
    if _NO_SUCH_TABLE.intersection({error.sqlstate, error.errno}):
        return ConfigError("this database has no table of tenants: create it with `rdskit tenants add TARGET ID`")
    return error
