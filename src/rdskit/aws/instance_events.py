"""How instances are, and what happened to them, as the RDS API tells it: few calls for whoever watches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rdskit.aws.session import call

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_PAGES: Final = 5  # of a hundred events each; whoever asks every few seconds never has so many


class InstanceState(NamedTuple):
    """How one DB instance is.

    Attributes:
        status: as in ``available``.
        zone: its availability zone; None while it has none.
    """

    status: str
    zone: str | None


class RdsEvent(NamedTuple):
    """One event of RDS.

    Attributes:
        at: when it happened, with its time zone.
        source: identifier of the instance or cluster.
        message: in RDS's own words.
        categories: as in ``failover``; empty where RDS names none.
    """

    at: datetime
    source: str
    message: str
    categories: tuple[str, ...]


async def describe_states(identifiers: Iterable[str], region: str | None = None) -> dict[str, InstanceState]:
    """Ask how instances are, in one call.

    Args:
        identifiers: of the instances; those that do not exist are not in the answer. At most a hundred.
        region: where they are; by default the configured one.

    Raises:
        AwsError: the API refused.
        ConnectError: it cannot be reached.
        ConfigError: no credentials or region are configured.
    """
    filters = [{"Name": "db-instance-id", "Values": sorted(identifiers)}]
    answer = await call("rds", "describe_db_instances", region=region, Filters=filters, MaxRecords=100)
    return {
        raw["DBInstanceIdentifier"]: InstanceState(raw["DBInstanceStatus"], raw.get("AvailabilityZone"))
        for raw in answer["DBInstances"]
    }


async def describe_events(since: datetime, region: str | None = None) -> list[RdsEvent]:
    """Ask for all events of the account and region since a moment; RDS keeps them for 14 days.

    Source: RDS API Reference, "DescribeEvents".

    Args:
        since: with its time zone.
        region: where; by default the configured one.

    Raises:
        AwsError: the API refused.
        ConnectError: it cannot be reached.
        ConfigError: no credentials or region are configured.
    """
    found: list[RdsEvent] = []
    marker: dict[str, str] = {}
    for _ in range(_PAGES):
        answer = await call("rds", "describe_events", region=region, StartTime=since, MaxRecords=100, **marker)
        found += [
            RdsEvent(raw["Date"], raw["SourceIdentifier"], raw["Message"], tuple(raw.get("EventCategories") or ()))
            for raw in answer["Events"]
        ]
        if not answer.get("Marker"):
            break
        marker = {"Marker": answer["Marker"]}
    return found
