"""Which engines this machine has, in RDS's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.local.control.rds.faults import InvalidValueError
from rdskit.local.control.rds.parameters import family_of, parameters_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rdskit.local.control.rds.parameters import Parameter
    from rdskit.local.engines.providers import Binaries

__all__ = ["Engines"]


class Engines:
    """The installed engines.

    Args:
        postgres: installed PostgreSQL versions, the preferred one first.
    """

    def __init__(self, postgres: Sequence[Binaries]) -> None:
        self._installed: dict[tuple[str, str], Binaries] = {}
        for binaries in postgres:
            self._installed.setdefault(("postgres", binaries.version), binaries)

    def versions(self) -> dict[str, tuple[str, ...]]:
        """Installed versions by engine, the preferred one first."""
        engines = dict.fromkeys(engine for engine, _ in self._installed)
        return {each: tuple(version for engine, version in self._installed if engine == each) for each in engines}

    def parameters(self, family: str) -> Mapping[str, Parameter]:
        """The parameters of a parameter group family.

        Raises:
            InvalidValueError: no installed engine is of that family.
        """
        for (engine, version), binaries in self._installed.items():
            if family_of(engine, version) == family:
                return parameters_of(binaries)
        families = ", ".join(sorted({family_of(*key) for key in self._installed}))
        raise InvalidValueError(f"ParameterGroupFamily {family} is not a valid parameter group family here: {families}")

    def describe(self, engine: str | None, version: str | None, family: str | None) -> list[dict[str, object]]:
        """What DescribeDBEngineVersions lists."""
        return [
            _described(*key)
            for key in self._installed
            if engine in (None, key[0])
            and (version is None or key[1] == version or key[1].startswith(f"{version}."))
            and family in (None, family_of(*key))
        ]


def _described(engine: str, version: str) -> dict[str, object]:
    return {
        "Engine": engine,
        "EngineVersion": version,
        "MajorEngineVersion": version.partition(".")[0],
        "DBParameterGroupFamily": family_of(engine, version),
        "DBEngineDescription": "PostgreSQL",
        "DBEngineVersionDescription": f"PostgreSQL {version}",
        "ValidUpgradeTarget": [],
        "SupportsReadReplica": True,
        "SupportsLogExportsToCloudwatchLogs": False,
        "SupportedCharacterSets": [],
        "SupportedFeatureNames": [],
        "Status": "available",
        "TagList": [],
    }
