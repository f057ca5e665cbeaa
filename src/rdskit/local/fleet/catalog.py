"""Look up the fleet's engines by their names in RDS."""

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
    """Engines that one fleet offers.

    Args:
        engines: engines of instances.
        clustered: engines of DB clusters, where they differ: Multi-AZ clusters share RDS's engine names with instances.
    """

    def __init__(self, engines: Iterable[Engine], clustered: Iterable[Engine] = ()) -> None:
        self._engines = {engine.name: engine for engine in engines}
        self._clustered = {engine.name: engine for engine in clustered}

    def engine(self, name: str, *, clustered: bool = False) -> Engine:
        """Return the engine with a name.

        Args:
            name: as in RDS.
            clustered: whether an instance of a DB cluster runs it.

        Raises:
            LocalError: no engine has that name.
        """
        # Aurora engines are in the first table only, because their names always mean a cluster.
        if clustered and name in self._clustered:
            return self._clustered[name]
        if name not in self._engines:
            raise LocalError(f"engine {name} is not available locally: use one of {', '.join(self._engines)}")
        return self._engines[name]


def standard() -> Catalog:
    """Return the catalog of PostgreSQL, MySQL, MariaDB and both Auroras.

    No engine looks for its programs before an instance needs them.
    """
    alone: list[Engine] = [Postgres(), AuroraPostgres(), MySQL(), AuroraMySQL(), MariaDB()]
    return Catalog(alone, clustered=[MultiAZPostgres(), MultiAZMySQL()])
