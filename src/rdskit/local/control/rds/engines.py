"""List the engines that this machine has or can fetch, in RDS's terms."""

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

_WAIT: Final = 45.0  # seconds; botocore's default read timeout is 60


class Offer(Protocol):
    """One engine that the local RDS offers."""

    @property
    def engine(self) -> str:
        """The engine's name in RDS."""
        ...

    @property
    def title(self) -> str:
        """The engine's product name."""
        ...

    def versions(self) -> Sequence[str]:
        """Return the installed versions, the preferred one first; nothing is fetched."""
        ...

    def install(self) -> None:
        """Install at least one version; may download it.

        Raises:
            LocalError: no version can be installed.
        """
        ...

    def parameters(self, version: str) -> Mapping[str, Parameter]:
        """Return the parameters of an installed version; may take some seconds.

        Raises:
            LocalError: the engine's program cannot be run.
        """
        ...


class PostgresOffer:
    """PostgreSQL in the preferred version, which all servers run.

    Args:
        engine: its name in RDS; Aurora PostgreSQL runs the same programs.
        title: its product name.
    """

    def __init__(self, engine: str = "postgres", title: str = "PostgreSQL") -> None:
        self.engine = engine
        self.title = title

    @functools.cached_property
    def _preferred(self) -> Sequence[Binaries]:
        return installed_postgres()[:1]

    def versions(self) -> Sequence[str]:
        """Return the preferred version."""
        return [each.version for each in self._preferred]

    def install(self) -> None:
        """Do nothing: a version comes with the package."""

    def parameters(self, version: str) -> Mapping[str, Parameter]:
        """Return the parameters that ``postgres --describe-config`` prints."""
        return parameters_of(next(each for each in self._preferred if each.version == version))


class MySQLFamilyOffer:
    """MySQL or MariaDB, fetched on first use.

    Args:
        engine: its name in RDS.
        title: its product name.
        providers: the places of installations.
        ensure: finds or fetches an installation.
        cache: directory for the parameters that servers report.
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
        """Return the preferred version, if one is installed."""
        return [each.version for each in installed(self._providers)[:1]]

    def install(self) -> None:
        """Find an installation, or unpack one into the user's cache."""
        self._ensure(_log.info)

    def parameters(self, version: str) -> Mapping[str, Parameter]:
        """Return the parameters that a server of that version reports."""
        self._cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = next(each for each in installed(self._providers) if each.version == version)
        return parameters_of_mysql(found, self._cache)


class Engines:
    """The engines that the local RDS offers.

    Args:
        offers: one for each engine.
        monitor: held by callers; released while slow work is done for the first time.
    """

    def __init__(self, offers: Iterable[Offer], monitor: Monitor) -> None:
        self._offers = {each.engine: each for each in offers}
        self._monitor = monitor
        self._under_way: dict[tuple[str, ...], Future[None]] = {}  # guarded by the monitor
        self._known: dict[str, Mapping[str, Parameter]] = {}  # parameters by family
        self._workers: list[threading.Thread] = []

    def require(self, engine: str) -> None:
        """Ensure that an engine's programs are installed. Does nothing for an engine that is not offered.

        Call inside the monitor, which is released in the meantime: check everything else afterwards.

        Raises:
            InvalidValueError: the engine cannot be installed.
            NotReadyError: the installation takes longer than a caller can wait; it continues.
        """
        offer = self._offers.get(engine)
        if offer is not None and not offer.versions():
            self._once(("install", engine), f"{offer.title} is being fetched", offer.install)

    def versions(self) -> dict[str, tuple[str, ...]]:
        """Return the installed versions by engine, the preferred one first."""
        found = {name: tuple(offer.versions()) for name, offer in self._offers.items()}
        return {name: versions for name, versions in found.items() if versions}

    def parameters(self, family: str) -> Mapping[str, Parameter]:
        """Return the parameters of a parameter group family. Call inside the monitor, which may be released.

        Raises:
            InvalidValueError: no installed engine is of that family.
            NotReadyError: asking the engine takes longer than a caller can wait; it continues.
        """
        if family not in self._known:
            offer, version = self._of_family(family)

            # Runs in another thread, outside the monitor. One assignment to a dict is atomic.
            def find_out() -> None:
                self._known[family] = offer.parameters(version)

            self._once(("parameters", family), f"{offer.title} is being asked for its parameters", find_out)
        return self._known[family]

    def describe(self, engine: str | None, version: str | None, family: str | None) -> list[dict[str, object]]:
        """Return the installed versions as DescribeDBEngineVersions lists them."""
        return [
            _described(self._offers[name], each)
            for name, versions in self.versions().items()
            for each in versions
            if engine in (None, name)
            and (version is None or each == version or each.startswith(f"{version}."))
            and family in (None, family_of(name, each))
        ]

    def close(self, timeout: float) -> None:
        """Let work in progress finish; abandon a download that takes longer than ``timeout`` seconds."""
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
        """Do slow work outside the monitor, in one thread for all callers that wait for it."""
        future = self._under_way.get(key)
        if future is None:
            future = self._under_way[key] = Future()
            # Not in a pool: the interpreter waits for a pool's threads at its end, however long a download takes.
            worker = threading.Thread(target=self._work, args=(work, future), name="-".join(key), daemon=True)
            self._workers.append(worker)
            worker.start()
        if not self._monitor.wait_until(future.done, _WAIT):
            raise NotReadyError(f"{doing} for the first time, which goes on: try again in a minute.")
        # Several callers may have waited. The first removes the entry, so that a later call tries again after a
        # failure.
        self._under_way.pop(key, None)
        try:
            future.result()
        except LocalError as error:
            raise InvalidValueError(f"{doing}, and that failed: {error}") from error

    def _work(self, work: Callable[[], None], future: Future[None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again in the callers that wait
            future.set_exception(error)
        else:
            future.set_result(None)
        # After the result is set: a caller that evaluates its condition before this is woken by the announcement.
        with self._monitor:
            self._monitor.announce()


def standard(cache: Path, monitor: Monitor) -> Engines:
    """Return the engines PostgreSQL, MySQL, MariaDB and both of Aurora.

    Args:
        cache: directory for the parameters that servers report.
        monitor: the control plane's monitor.
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
