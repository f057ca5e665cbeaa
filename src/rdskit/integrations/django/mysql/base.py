"""Django's MySQL and MariaDB backend on RDS, with PyMySQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pymysql
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.mysql import base
from django.db.backends.mysql.client import DatabaseClient as MySQLClient

from rdskit.client.api import authority_file
from rdskit.integrations.django.connector import Connector
from rdskit.integrations.django.mysql.dialect import PyMySQL
from rdskit.integrations.django.settings import read_settings
from rdskit.integrations.django.wrapper import RdsDatabaseWrapper
from rdskit.kernel.targets import Engine

if TYPE_CHECKING:
    from rdskit.integrations.django.dialects import Dialect

if base.Database is not pymysql:
    raise ImproperlyConfigured(
        "Django's own MySQL backend was loaded first, with mysqlclient; rdskit works with PyMySQL: give every MySQL "
        "entry of DATABASES the ENGINE 'rdskit.integrations.django.mysql'"
    )


class DatabaseClient(MySQLClient):
    """``manage.py dbshell``: the mysql client, connected to the writer with a current login."""

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: list[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        """Return the command line, and the environment, which has the password."""
        settings = read_settings(settings_dict, Engine.MYSQL)
        reached = Connector(settings, DatabaseWrapper.dialect).reach()
        tls = {"ssl": {"ca": authority_file(settings.ca)}} if settings.tls == "verify-full" else {}
        located = {
            **settings_dict,
            **{name.upper(): value for name, value in reached.items()},
            "OPTIONS": {**settings_dict["OPTIONS"], **tls},
        }
        command: tuple[list[str], dict[str, str] | None] = super().settings_to_cmd_args_env(located, parameters)
        return command


class DatabaseWrapper(RdsDatabaseWrapper, base.DatabaseWrapper):
    """A connection to MySQL or MariaDB on RDS."""

    client_class = DatabaseClient
    dialect: ClassVar[Dialect] = PyMySQL()
    engine: ClassVar[Engine] = Engine.MYSQL

    def is_usable(self) -> bool:
        """Return whether the connection may be kept; PyMySQL's own ``ping`` would reconnect to any host."""
        if self.connection is None or self._spoiled:
            return False
        try:
            self.connection.ping(reconnect=False)
        except self.Database.Error:
            return False
        return True
