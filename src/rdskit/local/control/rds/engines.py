"""Which engines this machine has, or can have, in RDS's terms."""

from __future__ import annotations

import functools
import logging
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, Protocol

from rdskit.errors import LocalError
from rdskit.local.control.rds.mysql_parameters import parameters_of as parameters_of_mysql
from rdskit.local.control.rds.parameters import family_of, major_of, parameters_of
from rdskit.local.control.rds.rds_errors import InvalidValueError, NotReadyError
from rdskit.local.engines.mysql.installations import (
    MARIADB_PROVIDERS,
    MYSQL_PROVIDERS,
    ensure_mariadb,
    ensure_mysql,
    installed,
)
from rdskit.local.engines.postgres.providers import installed as installed_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from rdskit.local.control.monitor import Monitor
    from rdskit.local.control.rds.parameters import Parameter
    from rdskit.local.engines.mysql.installations import Installation
    from rdskit.local.engines.mysql.installations import Provider as FamilyProvider
    from rdskit.local.engines.postgres.providers import Binaries

__all__ = ["Engines", "MySQLFamilyOffer", "Offer", "PostgresOffer", "standard"]

_log = logging.getLogger(__name__)

_PATIENCE: Final = 45.0  # seconds; an SDK gives up on an answer after 60


class Offer(Protocol):
    """One engine that the local RDS offers."""

    @property
    def engine(self) -> str:
        """Its name in RDS."""
        ...

    @property
    def title(self) -> str:
        """Its name for people."""
        ...

    def versions(self) -> Sequence[str]:
        """What is installed, the preferred version first; nothing is fetched."""
        ...

    def install(self) -> None:
        """Have at least one version; may fetch it.

        Raises:
            LocalError: it cannot be had.
        """
        ...

    def parameters(self, version: str) -> Mapping[str, Parameter]:
        """The parameters of an installed version; may take some seconds.

        Raises:
            LocalError: its program cannot be run.
        """
        ...


class PostgresOffer:
    """PostgreSQL, in the preferred version only: that is what the servers run.

    Args:
        engine: its name in RDS; Aurora's runs the same programs.
        title: its name for people.
    """

    def __init__(self, engine: str = "postgres", title: str = "PostgreSQL") -> None:
        self.engine = engine
        self.title = title

    @functools.cached_property
    def _preferred(self) -> Sequence[Binaries]:
        return installed_postgres()[:1]

    def versions(self) -> Sequence[str]:
        """The preferred version."""
        return [each.version for each in self._preferred]

    def install(self) -> None:
        """It came with the package."""

    def parameters(self, version: str) -> Mapping[str, Parameter]:
        """By ``postgres --describe-config``."""
        return parameters_of(next(each for each in self._preferred if each.version == version))


class MySQLFamilyOffer:
    """MySQL or MariaDB, fetched when somebody first wants it.

    Args:
        engine: its name in RDS.
        title: its name for people.
        providers: where to look.
        ensure: fetches it.
        cache: directory for what its servers say of themselves.
    """

    def __init__(
        self,
        engine: str,
        title: str,
        providers: Iterable[FamilyProvider],
        ensure: Callable[[Callable[[str], None]], Installation],
        cache: Path,
    ) -> None:
        self.engine = engine
        self.title = title
        self._providers = tuple(providers)
        self._ensure = ensure
        self._cache = cache

    def versions(self) -> Sequence[str]:
        """The preferred version, if one is there."""
        return [each.version for each in installed(self._providers)[:1]]

    def install(self) -> None:
        """Look for it, else unpack it into the user's cache."""
        self._ensure(_log.info)

    def parameters(self, version: str) -> Mapping[str, Parameter]:
        """As a server of that version describes itself."""
        self._cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = next(each for each in installed(self._providers) if each.version == version)
        return parameters_of_mysql(found, self._cache)


class Engines:
    """The engines that the local RDS offers.

    Args:
        offers: one for each engine.
        monitor: held by whoever asks; given back while something slow is done for the first time.
    """

    def __init__(self, offers: Iterable[Offer], monitor: Monitor) -> None:
        self._offers = {each.engine: each for each in offers}
        self._monitor = monitor
        self._under_way: dict[tuple[str, ...], Future[None]] = {}
        self._known: dict[str, Mapping[str, Parameter]] = {}
        self._workers: list[threading.Thread] = []

    def require(self, engine: str) -> None:
        """Have an engine's programs, fetched if need be; an engine that is not offered is left to others to refuse.

        The caller is inside the monitor, which is given back meanwhile.

        Raises:
            InvalidValueError: they cannot be had.
            NotReadyError: it takes longer than a caller can wait, and goes on.
        """
        offer = self._offers.get(engine)
        if offer is not None and not offer.versions():
            self._once(("install", engine), f"{offer.title} is being fetched", offer.install)

    def versions(self) -> dict[str, tuple[str, ...]]:
        """Installed versions by engine, the preferred one first."""
        found = {name: tuple(offer.versions()) for name, offer in self._offers.items()}
        return {name: versions for name, versions in found.items() if versions}

    def parameters(self, family: str) -> Mapping[str, Parameter]:
        """The parameters of a parameter group family; the caller is inside the monitor.

        Raises:
            InvalidValueError: no installed engine is of that family.
            NotReadyError: finding out takes longer than a caller can wait, and goes on.
        """
        if family not in self._known:
            offer, version = self._of_family(family)

            def find_out() -> None:
                self._known[family] = offer.parameters(version)

            self._once(("parameters", family), f"{offer.title} is being asked for its parameters", find_out)
        return self._known[family]

    def describe(self, engine: str | None, version: str | None, family: str | None) -> list[dict[str, object]]:
        """What DescribeDBEngineVersions lists: what is installed."""
        return [
            _described(self._offers[name], each)
            for name, versions in self.versions().items()
            for each in versions
            if engine in (None, name)
            and (version is None or each == version or each.startswith(f"{version}."))
            and family in (None, family_of(name, each))
        ]

    def close(self, timeout: float) -> None:
        """Let what is under way finish; a download that takes longer than ``timeout`` seconds is given up."""
        deadline = time.monotonic() + timeout
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))

    def _of_family(self, family: str) -> tuple[Offer, str]:
        for name in self._offers:
            if family.startswith(name):
                self.require(name)
        for name, versions in self.versions().items():
            for version in versions:
                if family_of(name, version) == family:
                    return self._offers[name], version
        known = sorted({family_of(name, each) for name, versions in self.versions().items() for each in versions})
        raise InvalidValueError(
            f"ParameterGroupFamily {family} is not a valid parameter group family here: {', '.join(known)}"
        )

    def _once(self, key: tuple[str, ...], doing: str, work: Callable[[], None]) -> None:
        """Have something slow done outside the monitor, by one thread for all who wait for it."""
        future = self._under_way.get(key)
        if future is None:
            future = self._under_way[key] = Future()
            # Not a pool's: those threads keep the process from ending, however long a download takes.
            worker = threading.Thread(target=self._work, args=(work, future), name="-".join(key), daemon=True)
            self._workers.append(worker)
            worker.start()
        if not self._monitor.wait_until(future.done, _PATIENCE):
            raise NotReadyError(f"{doing} for the first time, which goes on: try again in a minute.")
        self._under_way.pop(key, None)
        try:
            future.result()
        except LocalError as error:
            raise InvalidValueError(f"{doing}, and that failed: {error}") from error

    def _work(self, work: Callable[[], None], future: Future[None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            future.set_exception(error)
        else:
            future.set_result(None)
        with self._monitor:
            self._monitor.announce()


def standard(cache: Path, monitor: Monitor) -> Engines:
    """PostgreSQL, MySQL, both Auroras and MariaDB.

    Args:
        cache: directory for what servers say of themselves.
        monitor: the control plane's.
    """
    return Engines(
        [
            PostgresOffer(),
            PostgresOffer("aurora-postgresql", "Aurora PostgreSQL"),
            MySQLFamilyOffer("mysql", "MySQL", MYSQL_PROVIDERS, ensure_mysql, cache),
            MySQLFamilyOffer("aurora-mysql", "Aurora MySQL", MYSQL_PROVIDERS, ensure_mysql, cache),
            MySQLFamilyOffer("mariadb", "MariaDB", MARIADB_PROVIDERS, ensure_mariadb, cache),
        ],
        monitor,
    )


def _described(offer: Offer, version: str) -> dict[str, object]:
    return {
        "Engine": offer.engine,
        "EngineVersion": version,
        "MajorEngineVersion": major_of(offer.engine, version),
        "DBParameterGroupFamily": family_of(offer.engine, version),
        "DBEngineDescription": offer.title,
        "DBEngineVersionDescription": f"{offer.title} {version}",
        "ValidUpgradeTarget": [],
        "SupportsReadReplica": True,
        "SupportsLogExportsToCloudwatchLogs": False,
        "SupportedCharacterSets": [],
        "SupportedFeatureNames": [],
        "Status": "available",
        "TagList": [],
    }
