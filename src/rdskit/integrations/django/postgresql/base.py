"""Django's PostgreSQL backend on RDS, with psycopg 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base
from django.db.backends.postgresql.client import DatabaseClient as PostgresClient
from django.db.backends.postgresql.psycopg_any import is_psycopg3

if not is_psycopg3:
    raise ImproperlyConfigured("rdskit needs psycopg 3: pip install 'rdskit[django]'")

from rdskit.integrations.django.connector import Connector
from rdskit.integrations.django.postgresql.dialect import Psycopg
from rdskit.integrations.django.settings import read_settings
from rdskit.integrations.django.wrapper import RdsDatabaseWrapper
from rdskit.kernel.targets import Engine

if TYPE_CHECKING:
    from rdskit.integrations.django.dialects import Dialect


class DatabaseClient(PostgresClient):
    """``manage.py dbshell``: psql, connected to the writer with a current login."""

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: list[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        """Return the command line, and the environment, which has the password."""
        settings = read_settings(settings_dict, Engine.POSTGRES)
        reached = Connector(settings, DatabaseWrapper.dialect).reach()
        located = {
            **settings_dict,
            **{name.upper(): value for name, value in reached.items()},
            "OPTIONS": {**settings_dict["OPTIONS"], **DatabaseWrapper.dialect.arguments(settings)},
        }
        command: tuple[list[str], dict[str, str] | None] = super().settings_to_cmd_args_env(located, parameters)
        return command


class DatabaseWrapper(RdsDatabaseWrapper, base.DatabaseWrapper):
    """A connection to PostgreSQL on RDS."""

    client_class = DatabaseClient
    dialect: ClassVar[Dialect] = Psycopg()
    engine: ClassVar[Engine] = Engine.POSTGRES
