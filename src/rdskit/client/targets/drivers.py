"""Choose the driver of a target, by the scheme of its URL or by its engine.

A driver is imported when the first target needs it, so a missing extra affects its own targets only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect
from rdskit.kernel.targets import MARIADB, MYSQL, POSTGRESQL, SERVERS, Engine, Scheme, Target, parse_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.kernel.ports import Driver


@dataclass(frozen=True, slots=True)
class DriverEntry:
    """One registered driver.

    Attributes:
        scheme: the scheme of its URLs, with the default port.
        dialect: the SQL dialect of its servers; None if that depends on the engine.
        load: imports the driver and returns an instance.
        package: name of the package that ``load`` imports.
        extra: the extra of rdskit that installs it.
    """

    scheme: Scheme
    dialect: Dialect | None
    load: Callable[[], Driver]
    package: str
    extra: str

    def loaded(self) -> Driver:
        """Import and return the driver.

        Raises:
            ConfigError: it is not installed.
        """
        try:
            return self.load()
        except ImportError as error:
            missing = f"{self.scheme.name}:// needs {self.package}, which is not installed"
            raise ConfigError(f"{missing}: pip install 'rdskit[{self.extra}]'") from error


_OWN_SCHEMES: Final = {Engine.POSTGRES: POSTGRESQL, Engine.MYSQL: MYSQL, Engine.MARIADB: MARIADB}
_entries: Final[dict[str, DriverEntry]] = {}


def register(entry: DriverEntry) -> None:
    """Register a driver for a scheme, in place of any earlier one."""
    _entries[entry.scheme.name] = entry


def parse(text: str) -> Target:
    """Parse a target, including the URLs of all registered drivers.

    Raises:
        ConfigError: the form is unknown, or a part of it is invalid. The message never contains a password.
    """
    return parse_target(text, {**SERVERS, **{name: entry.scheme for name, entry in _entries.items()}})


def driver_for(target: Target, engine: Engine) -> tuple[DriverEntry, Dialect]:
    """Return the driver for a target, and the SQL dialect of its server.

    Args:
        target: the parsed target.
        engine: the engine of its server.
    """
    # A scheme without an entry of its own, such as rds:// or a secret, gets the driver of its engine.
    own = _entries[_OWN_SCHEMES[engine].name]
    entry = _entries.get(target.scheme or own.scheme.name, own)
    dialect = entry.dialect or own.dialect
    assert dialect is not None, own
    return entry, dialect


def _asyncpg() -> Driver:
    from rdskit.drivers.postgres import AsyncpgDriver  # noqa: PLC0415 - an optional driver, loaded on first use

    return AsyncpgDriver()


def _asyncmy() -> Driver:
    from rdskit.drivers.mysql import AsyncmyDriver  # noqa: PLC0415 - an optional driver, loaded on first use

    return AsyncmyDriver()


register(DriverEntry(POSTGRESQL, Dialect.POSTGRES, _asyncpg, "asyncpg", "postgres"))
register(DriverEntry(MYSQL, Dialect.MYSQL, _asyncmy, "asyncmy", "mysql"))
register(DriverEntry(MARIADB, Dialect.MYSQL, _asyncmy, "asyncmy", "mysql"))
