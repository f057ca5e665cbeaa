"""Common part of both backends: connections that lead to the writer, and are replaced when they no longer do."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseErrorWrapper

from rdskit.errors import ConfigError, RdskitError
from rdskit.integrations.django.connector import Connector
from rdskit.integrations.django.routing import aliases, note_write
from rdskit.integrations.django.settings import OPTION_NAMES, DatabaseSettings, complete, read_settings
from rdskit.kernel.ports import DriverError
from rdskit.kernel.sql import Kind
from rdskit.kernel.sql.effects import effect_of
from rdskit.kernel.sql.tokens import tokenize

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rdskit.integrations.django.dialects import Dialect
    from rdskit.kernel import sql
    from rdskit.kernel.targets import Engine


_unverified: dict[DatabaseSettings, dict[str, Any]] = {}


class _ErrorRecorder(DatabaseErrorWrapper):
    """Django's translation of errors, extended: the backend records each error first."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.wrapper.note_failure(error)
            error = self.wrapper.dialect.as_lost(error)
            kind = type(error)
        super().__exit__(kind, error, trace)


class RdsDatabaseWrapper(BaseDatabaseWrapper):
    """Mixin for one of Django's ``DatabaseWrapper`` classes.

    Outside of a transaction a connection that was lost, or whose host refuses writes, is replaced before the next
    statement. Within one it is kept, as in Django's own backend, so that the transaction's owner gets the error.
    """

    dialect: ClassVar[Dialect]
    engine: ClassVar[Engine]

    def __init__(self, settings_dict: dict[str, Any], alias: str = DEFAULT_DB_ALIAS) -> None:
        complete(settings_dict, connections.settings)
        super().__init__(settings_dict, alias)
        self._spoiled = False
        if aliases().reader_of(alias):
            self.execute_wrappers.append(self._note_statement)

    @functools.cached_property
    def rds_settings(self) -> DatabaseSettings:
        """Return the parsed entry of ``DATABASES``."""
        return read_settings(self.settings_dict, self.engine)

    @functools.cached_property
    def connector(self) -> Connector:
        """Return the connector that opens this alias's connections."""
        return Connector(self.rds_settings, self.dialect)

    @functools.cached_property
    def wrap_database_errors(self) -> _ErrorRecorder:
        """Django's context manager that translates the driver's errors."""
        return _ErrorRecorder(self)

    def get_connection_params(self) -> dict[str, Any]:
        """Return the driver's arguments, except for host, port and login, which are new for each connection."""
        ours = self._driver_arguments()
        given = super().get_connection_params()
        return {name: value for name, value in given.items() if name not in OPTION_NAMES} | ours

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect to the host that serves now.

        Raises:
            OperationalError: the driver's; no connection could be opened.
            ConfigError: the settings name something that does not exist.
        """
        opening = functools.partial(_open, super().get_new_connection, conn_params)
        try:
            connection = self.connector.connect(opening, moved=self._spoiled)
        except ConfigError:
            raise
        except (RdskitError, DriverError) as error:
            raise self._as_driver_error(error) from error
        self._spoiled = False
        return connection

    def close_if_health_check_failed(self) -> None:
        """Close a connection that no longer leads to the writer, before anything is sent on it."""
        idle = self.connection is not None and self.autocommit and not self.in_atomic_block
        if idle and (self._spoiled or self.dialect.is_gone(self.connection)):
            self._spoiled = True
            self.close()
        super().close_if_health_check_failed()

    def set_autocommit(
        self,
        autocommit: bool,  # noqa: FBT001 - Django's signature
        force_begin_transaction_with_broken_autocommit: bool = False,  # noqa: FBT001, FBT002 - Django's signature
    ) -> None:
        """Begin or end transactions, as Django does on entering and leaving ``atomic()``.

        A connection on which this fails is closed. Django would keep the dead connection with autocommit off, and treat
        every later ``atomic()`` of this thread as a savepoint in a transaction that never ends.
        """
        try:
            super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
        except Error:
            if not self.in_atomic_block and self.autocommit != autocommit:
                self.close()
            raise

    def is_usable(self) -> bool:
        """Return whether the connection may be kept for the next request."""
        return not self._spoiled and bool(super().is_usable())

    def note_failure(self, error: BaseException) -> None:
        """Record an error of the driver's, which may mean that the connection must be replaced."""
        if self.connection is not None and self.dialect.spoils(self.connection, error):
            self._spoiled = True

    def _driver_arguments(self) -> dict[str, Any]:
        # CA files may change, so verifying arguments are built each time. The others are cached: building them logs a
        # warning about the missing verification, which must appear only once.
        if self.rds_settings.tls == "verify-full":
            return self.dialect.arguments(self.rds_settings)
        if self.rds_settings not in _unverified:
            _unverified[self.rds_settings] = self.dialect.arguments(self.rds_settings)
        return _unverified[self.rds_settings]

    def _note_statement(self, execute: Callable[..., Any], statement: Any, *rest: Any) -> Any:
        # psycopg accepts composed objects too. Django uses them only for statements that change the schema.
        if not isinstance(statement, str) or _writes(statement, self.dialect.sql):
            note_write(self.alias)
        return execute(statement, *rest)

    def _as_driver_error(self, error: RdskitError | DriverError) -> Exception:
        cause: Any = error.__cause__
        if isinstance(error, DriverError) and isinstance(cause, self.Database.Error):
            cause.add_note(str(error))
            driver_error: Exception = cause
            return driver_error
        found: Exception = self.Database.OperationalError(str(error))
        return found


def _open(opening: Callable[[dict[str, Any]], Any], given: dict[str, Any], reached: dict[str, Any]) -> Any:
    return opening({**given, **reached})


@functools.lru_cache(maxsize=4096)
def _writes(statement: str, dialect: sql.Dialect) -> bool:
    return effect_of(tokenize(statement, dialect), dialect).kind is Kind.WRITE
