"""Opens the connections of an engine: the host that serves now, a login that it takes, and patience."""

from __future__ import annotations

import functools
import itertools
import os
import random
import time
from typing import TYPE_CHECKING, Any

from rdskit.client.credentials import pause_after_refusal
from rdskit.errors import ConfigError, NoWriterError
from rdskit.integrations.sqlalchemy.drivers import arguments_for, keep_alive, lasting_arguments, role_of
from rdskit.integrations.sqlalchemy.policy import Refusal, Refused, hosts_for, refusal_of
from rdskit.integrations.sqlalchemy.refusals import as_driver_error
from rdskit.integrations.sqlalchemy.reports import reported_by
from rdskit.integrations.sqlalchemy.settings import ENGINES
from rdskit.integrations.sqlalchemy.waiting import waiting_for
from rdskit.kernel.backoff import CONNECT
from rdskit.kernel.targets import Engine
from rdskit.kernel.topology import Role

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.engine.interfaces import DBAPIConnection

    from rdskit.client.database.destination import Destination
    from rdskit.client.database.location import Located
    from rdskit.integrations.sqlalchemy.settings import Settings
    from rdskit.integrations.sqlalchemy.waiting import Waiting
    from rdskit.kernel.ports import Login
    from rdskit.kernel.topology import Host


class Connector:
    """Opens connections for one engine.

    Args:
        destination: where to.
        settings: how.
        role: which hosts serve this engine; readers give way to the writer where there are none.
    """

    def __init__(self, destination: Destination, settings: Settings, role: Role) -> None:
        self._destination = destination
        self._settings = settings
        self._role = role
        self._turns = itertools.count()
        self._lasting: dict[int, dict[str, Any]] = {}

    def connect(self, dialect: Dialect, given: list[Any], arguments: dict[str, Any]) -> DBAPIConnection:
        """Open a connection, trying again while hosts are away and ``timeout`` has not passed.

        Raises:
            RdskitError: the target, the credentials or AWS.
            Exception: an error of the driver, or an ``OperationalError`` of its module in place of one that is none.
        """
        waiting, started, turn, anew = waiting_for(dialect), time.monotonic(), next(self._turns), False
        while True:
            hosts, error = self._hosts(waiting, turn, anew=anew), None
            for host in hosts:
                try:
                    return self._log_in(dialect, host, given, arguments, waiting)
                except Refused as refused:
                    if refused.refusal is not Refusal.AWAY:
                        raise as_driver_error(dialect, refused) from refused.__cause__
                    error = refused
            away, anew = time.monotonic() - started, True
            if away >= self._settings.timeout:
                raise as_driver_error(dialect, error or _no_host()) from error and error.__cause__
            waiting.pause(min(CONNECT.delay(away, random.random()), self._settings.timeout - away))  # noqa: S311 - jitter

    def _hosts(self, waiting: Waiting, turn: int, *, anew: bool) -> tuple[Host, ...]:
        return hosts_for(self._role, waiting.run(lambda: self._destination.topology(anew=anew)), turn)

    def _log_in(
        self, dialect: Dialect, host: Host, given: list[Any], arguments: dict[str, Any], waiting: Waiting
    ) -> DBAPIConnection:
        """Open a connection to one host; a refused login is tried again while the credentials offer another one."""
        located = waiting.run(self._destination.located)
        _check_engine(dialect, located)
        login = waiting.run(lambda: self._destination.login(host.endpoint))
        started, refusals = time.monotonic(), 0
        while True:
            try:
                return self._open(dialect, host, given, arguments | self._arguments(dialect, host, login, located))
            except Refused as error:
                if error.refusal is not Refusal.LOGIN:
                    raise
                refusals += 1
                pause = pause_after_refusal(refusals, time.monotonic() - started, self._settings.connect_timeout)
                refused, login = login, waiting.run(functools.partial(self._destination.login, host.endpoint, login))
                if pause is None or (login == refused and not getattr(located.credentials, "rotates", False)):
                    raise
            waiting.pause(pause)

    def _arguments(self, dialect: Dialect, host: Host, login: Login, located: Located) -> dict[str, Any]:
        process = os.getpid()  # the file with the authorities lives as long as the process that wrote it
        if process not in self._lasting:
            self._lasting[process] = lasting_arguments(dialect.driver, self._settings)
        return self._lasting[process] | arguments_for(dialect.driver, host.endpoint, login, located.database)

    def _open(self, dialect: Dialect, host: Host, given: list[Any], arguments: dict[str, Any]) -> DBAPIConnection:
        """Open a connection, and verify that a writer is what answers.

        Raises:
            Refused: it could not be opened, or a replica answers under the writer's name.
        """
        try:
            connection = dialect.connect(*given, **arguments)
        except Exception as error:
            raise refusal_of(
                reported_by(error, dialect, is_disconnect=isinstance(error, OSError)), host.endpoint
            ) from error
        try:
            role = role_of(dialect, connection)
            keep_alive(dialect, connection)
        except (dialect.loaded_dbapi.Error, OSError) as error:
            dialect.do_terminate(connection)
            raise refusal_of(reported_by(error, dialect, is_disconnect=True), host.endpoint) from error
        except BaseException:  # cancelled: nobody else knows of the connection yet
            dialect.do_terminate(connection)
            raise
        if host.role is Role.WRITER and role is Role.READER:
            dialect.do_terminate(connection)
            raise Refused(Refusal.AWAY, NoWriterError(f"{host.endpoint} answers as a replica: the failover goes on"))
        return connection


def _check_engine(dialect: Dialect, located: Located) -> None:
    """MySQL's and MariaDB's dialects serve each other's servers; PostgreSQL's serves its own."""
    if (ENGINES[dialect.name] is Engine.POSTGRES) != (located.engine is Engine.POSTGRES):
        raise ConfigError(
            f"the SQLAlchemy URL is one for {dialect.name}, and {located.target} runs {located.engine.value}: "
            "write the URL of that engine, or let rdskit.integrations.sqlalchemy.create_engine choose it"
        )


def _no_host() -> Refused:
    return Refused(Refusal.AWAY, NoWriterError("the topology shows no host that takes writes; the failover goes on"))
