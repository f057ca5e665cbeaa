"""Describe the variables of a MySQL or MariaDB server, as the server itself reports them.

MariaDB lists them in ``information_schema.system_variables``; MySQL in ``performance_schema.variables_metadata`` (since
9.0). The latter does not say which can change while the server runs. That is tried, on a server without clients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdskit.local.engines.mysql.sql import ServerRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.local.engines.mysql.sql import MySQLSession
    from rdskit.local.engines.mysql.throwaway import ThrowawayFamilyServer

_CANNOT_BE_SET = 1238
_MARIADB = """
    select lower(variable_name), variable_comment, variable_type, numeric_min_value, numeric_max_value,
           enum_value_list, read_only = 'NO', global_value
    from information_schema.system_variables
    where variable_scope <> 'SESSION ONLY' and command_line_argument is not null
"""
_MYSQL = """
    select m.variable_name, m.documentation, m.data_type, nullif(m.min_value, ''), nullif(m.max_value, ''), null, null,
           g.variable_value
    from performance_schema.variables_metadata m join performance_schema.global_variables g using (variable_name)
    where m.variable_scope <> 'SESSION_ONLY'
"""
_MYSQL_BEFORE_9 = """
    select variable_name, '', 'String', null, null, null, null, variable_value from performance_schema.global_variables
"""
_METADATA = "select 1 from information_schema.tables where table_name = 'variables_metadata'"


@dataclass(frozen=True, slots=True)
class Variable:
    """One server variable.

    Attributes:
        name: as in SQL.
        description: for people.
        kind: its type, in the product's own words.
        limits: of a number.
        choices: of an enumeration or a set, if the product reports them.
        dynamic: whether it can be set while the server runs.
        value: on a server with the fleet's defaults.
    """

    name: str
    description: str
    kind: str
    limits: tuple[float, float] | None
    choices: tuple[str, ...]
    dynamic: bool
    value: str | None


def describe(server: ThrowawayFamilyServer) -> list[Variable]:
    """Return all global variables of a running server that has no clients."""
    with server.connect() as session:
        return list(_described(session, _variables_query(session, server.installation.product)))


def _variables_query(session: MySQLSession, product: str) -> str:
    if product == "MariaDB":
        return _MARIADB
    return _MYSQL if session.execute(_METADATA) else _MYSQL_BEFORE_9


def _described(session: MySQLSession, question: str) -> Iterator[Variable]:
    for name, description, kind, least, most, choices, dynamic, value in session.execute(question):
        assert name is not None, "a variable has a name"
        yield Variable(
            name=name,
            description=description or "",
            kind=(kind or "").lower(),
            limits=(float(least), float(most)) if least is not None and most is not None else None,
            choices=tuple((choices or "").split(",")) if choices else (),
            dynamic=_can_be_set(session, name) if dynamic is None else dynamic == "1",
            value=value,
        )


def _can_be_set(session: MySQLSession, name: str) -> bool:
    try:
        # Sets the variable to its own value, so a success changes nothing.
        session.execute(f"set global {name} = @@global.{name}")
    except ServerRefused as refusal:
        return refusal.errno != _CANNOT_BE_SET
    return True
