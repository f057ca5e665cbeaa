"""The engines that the fleet has, by their names in RDS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.errors import LocalError
from rdskit.local.fleet.mysql.aurora import AuroraMySQL
from rdskit.local.fleet.mysql.engine import MariaDB, MySQL
from rdskit.local.fleet.mysql.multi_az import MultiAZMySQL
from rdskit.local.fleet.postgres.aurora import AuroraPostgres
from rdskit.local.fleet.postgres.engine import Postgres
from rdskit.local.fleet.postgres.multi_az import MultiAZPostgres

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.local.fleet.engine import Engine


class Catalog:
    """The engines of one fleet.

    Args:
        engines: what it has.
        clustered: what its DB clusters run, where that is something else.
    """

    def __init__(self, engines: Iterable[Engine], clustered: Iterable[Engine] = ()) -> None:
        self._engines = {engine.name: engine for engine in engines}
        self._clustered = {engine.name: engine for engine in clustered}

    def engine(self, name: str, *, clustered: bool = False) -> Engine:
        """The engine of that name in RDS.

        Args:
            name: as in RDS.
            clustered: of an instance of a DB cluster.

        Raises:
            LocalError: there is none.
        """
        if clustered and name in self._clustered:
            return self._clustered[name]
        if name not in self._engines:
            raise LocalError(f"engine {name} is not available locally: use one of {', '.join(self._engines)}")
        return self._engines[name]


def standard() -> Catalog:
    """PostgreSQL, MySQL, MariaDB and both Auroras; nothing is looked up before it is needed."""
    alone: list[Engine] = [Postgres(), AuroraPostgres(), MySQL(), AuroraMySQL(), MariaDB()]
    return Catalog(alone, clustered=[MultiAZPostgres(), MultiAZMySQL()])
