"""Scopes: the tenant, role and schema with which the statements of a database object run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rdskit.errors import ConfigError

TENANT_SETTING: Final = "rdskit.tenant"
"""PostgreSQL: the setting that row security policies read, as in ``current_setting('rdskit.tenant', true)``."""
TENANT_VARIABLE: Final = "rdskit_tenant"
"""MySQL and MariaDB: the user variable that views and triggers read, as in ``@rdskit_tenant``."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A tenant, a role and a schema; part of every cache key, and set on each connection at checkout.

    Attributes:
        tenant: the tenant's id, passed to the server as a session setting; None for no tenant.
        role: the role that statements run as; None for the login's own.
        schema: the schema for unqualified names; None for the login's own. On MySQL and MariaDB a schema is a database.
    """

    tenant: str | None = None
    role: str | None = None
    schema: str | None = None

    def __post_init__(self) -> None:
        """Refuse values that no server accepts.

        Raises:
            ConfigError: a part is empty, or holds a NUL byte.
        """
        for name in ("tenant", "role", "schema"):
            value = getattr(self, name)
            if value is not None and (not value or "\0" in value):
                raise ConfigError(f"Scope({name}={value!r}) is not a {name}: give a text that is not empty, or None")

    def __str__(self) -> str:
        parts = ((name, getattr(self, name)) for name in ("tenant", "role", "schema"))
        return " ".join(f"{name}={value}" for name, value in parts if value is not None) or "no scope"


NO_SCOPE: Final = Scope()


def change_on_postgres(before: Scope, after: Scope) -> str:
    """Return the statements, as one text, that switch a session from one scope to another.

    RESET ROLE comes first and SET ROLE last, because the role may lack the privilege to change the rest.

    Args:
        before: the session's current scope.
        after: the new scope.
    """
    changes = ["reset role"] if before.role is not None else []
    if before.schema != after.schema:
        changes.append("reset search_path" if after.schema is None else f"set search_path to {_name(after.schema)}")
    if before.tenant != after.tenant:
        tenant = "''" if after.tenant is None else _escaped(after.tenant)
        changes.append(f"set {TENANT_SETTING} to {tenant}")
    if after.role is not None:
        changes.append(f"set role {_name(after.role)}")
    return "; ".join(changes)


def set_up_on_mysql(scope: Scope) -> tuple[str, ...]:
    """Return the statements that set a scope in a session that was just reset.

    Args:
        scope: the scope.
    """
    statements = []
    if scope.tenant is not None:
        tenant = scope.tenant.replace("\\", "\\\\").replace("'", "''")
        statements.append(f"set @{TENANT_VARIABLE} = '{tenant}'")
    if scope.schema is not None:
        statements.append(f"use {_name(scope.schema, '`')}")
    if scope.role is not None:
        statements.append(f"set role {_name(scope.role, '`')}")
    return tuple(statements)


def _escaped(text: str) -> str:
    """Return a literal that PostgreSQL reads alike with and without ``standard_conforming_strings``."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _name(name: str, quote: str = '"') -> str:
    return quote + name.replace(quote, quote * 2) + quote
