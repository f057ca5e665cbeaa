"""What both backends add to Django's: connections that lead to the writer, and are dropped when they no longer do."""

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


class _Noticing(DatabaseErrorWrapper):
    """Django's translation of errors, of which our backend takes note."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.wrapper.note_failure(error)
            error = self.wrapper.dialect.as_lost(error)
            kind = type(error)
        super().__exit__(kind, error, trace)


class RdsDatabaseWrapper(BaseDatabaseWrapper):
    """Goes in front of one of Django's ``DatabaseWrapper`` classes.

    Outside of a transaction a connection that was lost, or whose host refuses writes, is replaced before the next
    statement. Within one it stays, as Django's own does: whoever began the transaction has to learn of it.
    """

    dialect: ClassVar[Dialect]
    engine: ClassVar[Engine]

    def __init__(self, settings_dict: dict[str, Any], alias: str = DEFAULT_DB_ALIAS) -> None:
        complete(settings_dict, connections.settings)
        super().__init__(settings_dict, alias)
        self._spoilt = False
        if aliases().reader_of(alias):
            self.execute_wrappers.append(self._note_statement)

    @functools.cached_property
    def rds_settings(self) -> DatabaseSettings:
        """What ``DATABASES`` says."""
        return read_settings(self.settings_dict, self.engine)

    @functools.cached_property
    def connector(self) -> Connector:
        """Opens our connections."""
        return Connector(self.rds_settings, self.dialect)

    @functools.cached_property
    def wrap_database_errors(self) -> _Noticing:
        """Django's context manager that translates the driver's errors."""
        return _Noticing(self)

    def get_connection_params(self) -> dict[str, Any]:
        """The driver's arguments, but for host, port and login, which each connection is given anew."""
        ours = self._driver_arguments()
        given = super().get_connection_params()
        return {name: value for name, value in given.items() if name not in OPTION_NAMES} | ours

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect to the host that serves now.

        Raises:
            OperationalError: the driver's, where no connection could be had.
            ConfigError: the settings name something that does not exist.
        """
        opening = functools.partial(_open, super().get_new_connection, conn_params)
        try:
            connection = self.connector.connect(opening, moved=self._spoilt)
        except ConfigError:
            raise
        except (RdskitError, DriverError) as error:
            raise self._as_driver_error(error) from error
        self._spoilt = False
        return connection

    def close_if_health_check_failed(self) -> None:
        """Let go of a connection that leads nowhere, before anything is sent on it."""
        idle = self.connection is not None and self.autocommit and not self.in_atomic_block
        if idle and (self._spoilt or self.dialect.is_gone(self.connection)):
            self._spoilt = True
            self.close()
        super().close_if_health_check_failed()

    def set_autocommit(
        self,
        autocommit: bool,  # noqa: FBT001 - Django's signature
        force_begin_transaction_with_broken_autocommit: bool = False,  # noqa: FBT001, FBT002 - Django's signature
    ) -> None:
        """Begin or end transactions, as Django does on entering and leaving ``atomic()``.

        A connection that fails at this is let go. Django would keep it, with autocommit off on a connection that has
        ended, and take every later ``atomic()`` of this thread for a savepoint within a transaction that nobody ends.
        """
        try:
            super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
        except Error:
            if not self.in_atomic_block and self.autocommit != autocommit:
                self.close()
            raise

    def is_usable(self) -> bool:
        """Return whether the connection may be kept for the next request."""
        return not self._spoilt and bool(super().is_usable())

    def note_failure(self, error: BaseException) -> None:
        """Take note of an error of the driver's."""
        if self.connection is not None and self.dialect.spoils(self.connection, error):
            self._spoilt = True

    def _driver_arguments(self) -> dict[str, Any]:
        # Files of authorities may change; without them nothing does, and the log is told once that nobody is verified.
        if self.rds_settings.tls == "verify-full":
            return self.dialect.arguments(self.rds_settings)
        if self.rds_settings not in _unverified:
            _unverified[self.rds_settings] = self.dialect.arguments(self.rds_settings)
        return _unverified[self.rds_settings]

    def _note_statement(self, execute: Callable[..., Any], statement: Any, *rest: Any) -> Any:
        # psycopg composes statements from objects too; those of Django that are no text change the schema.
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
