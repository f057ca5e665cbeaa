"""Query the state of instances and their recent events from the RDS API, with few calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rdskit.aws.session import call

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_PAGES: Final = 5  # of a hundred events each: far more than occur between two polls


class InstanceState(NamedTuple):
    """The state of one DB instance.

    Attributes:
        status: RDS's status, such as ``available``.
        zone: its availability zone; None while it has none.
    """

    status: str
    zone: str | None


class RdsEvent(NamedTuple):
    """One event of RDS.

    Attributes:
        at: its time, with a time zone.
        source: identifier of the instance or cluster.
        message: RDS's own text.
        categories: RDS's categories, such as ``failover``; may be empty.
    """

    at: datetime
    source: str
    message: str
    categories: tuple[str, ...]


async def describe_states(identifiers: Iterable[str], region: str | None = None) -> dict[str, InstanceState]:
    """Query the states of instances, in one call.

    Args:
        identifiers: at most a hundred instances; the result leaves out those that do not exist.
        region: their region; by default the configured one.

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
    """Query all events of the account and region since a time; RDS keeps them for 14 days.

    Source: RDS API Reference, "DescribeEvents".

    Args:
        since: the time, with a time zone.
        region: the region; by default the configured one.

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
