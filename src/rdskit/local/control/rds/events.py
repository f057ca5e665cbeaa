"""Define RDS events, their texts, and the subscriptions that match them.

Ids, categories and texts are those of the RDS User Guide, "Amazon RDS event categories and event messages".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["CLUSTER_EVENTS", "EVENTS", "Event", "EventKind", "Subscription", "matches", "notification", "within"]


@dataclass(frozen=True, slots=True)
class EventKind:
    """One row of the table of events in the RDS User Guide."""

    event_id: str
    category: str
    message: str


EVENTS = {
    "created": EventKind("RDS-EVENT-0005", "creation", "DB instance created"),
    "create-failed": EventKind("RDS-EVENT-0278", "failure", "The DB instance creation failed. {reason}"),
    "replica-create-failed": EventKind("RDS-EVENT-0202", "read replica", "Read replica creation failed. {reason}"),
    "deleted": EventKind("RDS-EVENT-0003", "deletion", "DB instance deleted"),
    "restarted": EventKind("RDS-EVENT-0006", "availability", "DB instance restarted"),
    "stopped-unexpectedly": EventKind("RDS-EVENT-0004", "availability", "DB instance shutdown"),
    "storage-full": EventKind(
        "RDS-EVENT-0007",
        "low storage",
        "Allocated storage has been exhausted. Allocate additional storage to resolve.",
    ),
    "storage-started": EventKind(
        "RDS-EVENT-0018", "configuration change", "Applying modification to allocated storage."
    ),
    "storage-finished": EventKind(
        "RDS-EVENT-0017", "configuration change", "Finished applying modification to allocated storage."
    ),
    "stopped": EventKind("RDS-EVENT-0087", "notification", "DB instance stopped"),
    "started": EventKind("RDS-EVENT-0088", "notification", "DB instance started"),
    "failover-started": EventKind("RDS-EVENT-0013", "failover", "Multi-AZ instance failover started."),
    "failover-completed": EventKind("RDS-EVENT-0049", "failover", "Multi-AZ instance failover completed"),
    "multi-az-started": EventKind(
        "RDS-EVENT-0024", "configuration change", "Applying modification to convert to a Multi-AZ DB Instance"
    ),
    "multi-az-finished": EventKind(
        "RDS-EVENT-0025", "configuration change", "Finished applying modification to convert to a Multi-AZ DB Instance"
    ),
    "single-az-started": EventKind(
        "RDS-EVENT-0029",
        "configuration change",
        "Applying modification to convert to a standard (Single-AZ) DB Instance",
    ),
    "single-az-finished": EventKind(
        "RDS-EVENT-0030",
        "configuration change",
        "Finished applying modification to convert to a standard (Single-AZ) DB Instance",
    ),
    "class-started": EventKind(
        "RDS-EVENT-0012", "configuration change", "Applying modification to database instance class."
    ),
    "class-finished": EventKind(
        "RDS-EVENT-0014", "configuration change", "Finished applying modification to DB instance class."
    ),
    "password-reset": EventKind("RDS-EVENT-0016", "configuration change", "Reset master credentials"),
    "parameters-updated": EventKind("RDS-EVENT-0092", "configuration change", "Finished updating DB parameter group"),
    "parameters-refused": EventKind(
        "RDS-EVENT-0035", "failure", "Database instance put into incompatible-parameters. {reason}"
    ),
    "failed": EventKind("RDS-EVENT-0031", "failure", "DB instance put into failed. {reason}"),
    "standby-lost": EventKind("RDS-EVENT-0361", "recovery", "Recovery of standby DB instance has started."),
    "standby-rebuilt": EventKind("RDS-EVENT-0362", "recovery", "Recovery of standby DB instance has completed."),
    "replica-rebuilt": EventKind("RDS-EVENT-0046", "read replica", "Replication for the Read Replica resumed"),
    "replica-promoted": EventKind(
        "RDS-EVENT-0062", "read replica", "Replication for the Read Replica has been manually stopped"
    ),
    "notice": EventKind("RDS-EVENT-0044", "notification", "{reason}"),
}

CLUSTER_EVENTS = {
    "created": EventKind("RDS-EVENT-0170", "creation", "DB cluster created."),
    "deleted": EventKind("RDS-EVENT-0171", "deletion", "DB cluster deleted."),
    "failover-started": EventKind("RDS-EVENT-0073", "failover", "{reason}"),
    "failover-completed": EventKind("RDS-EVENT-0071", "failover", "{reason}"),
}


@dataclass(frozen=True, slots=True)
class Event:
    """An event. Attribute names are those of RDS's Event in snake case, as moto's serializer expects."""

    source_identifier: str
    source_arn: str
    message: str
    event_categories: tuple[str, ...]
    date: datetime
    event_id: str
    region: str
    source_type: str = "db-instance"


@dataclass(frozen=True, slots=True)
class Subscription:
    """The filters of an event subscription; an empty one matches everything."""

    enabled: bool
    source_type: str | None
    source_ids: tuple[str, ...]
    categories: tuple[str, ...]


# Fragments of the console's URL, which the notification has in RDS too.
_PAGES = {"db-instance": "dbinstance", "db-cluster": "dbcluster"}


def matches(subscription: Subscription, event: Event) -> bool:
    """Return whether the subscription matches the event."""
    return (
        subscription.enabled
        and subscription.source_type in (None, "", event.source_type)
        and (not subscription.source_ids or event.source_identifier in subscription.source_ids)
        and (not subscription.categories or not set(subscription.categories).isdisjoint(event.event_categories))
    )


def notification(event: Event) -> str:
    """Return the text that RDS publishes to the topic of a subscription."""
    base = "http://docs.amazonwebservices.com/AmazonRDS/latest/UserGuide/USER_Events.html"
    console = f"https://console.aws.amazon.com/rds/home?region={event.region}"
    return json.dumps(
        {
            "Event Source": event.source_type,
            "Event Time": f"{event.date:%Y-%m-%d %H:%M:%S}.{event.date.microsecond // 1000:03d}",
            "Identifier Link": f"{console}#{_PAGES[event.source_type]}:id={event.source_identifier}",
            "Source ID": event.source_identifier,
            "Source ARN": event.source_arn,
            "Event ID": f"{base}#{event.event_id}",
            "Event Message": event.message,
        }
    )


def within(
    events: Sequence[Event],
    *,
    now: datetime,
    start: datetime | None = None,
    end: datetime | None = None,
    minutes: int | None = None,
    categories: Collection[str] = (),
) -> list[Event]:
    """Return the events of a period, oldest first.

    Args:
        events: events in order of time.
        now: the time in naive UTC, like the events' dates.
        start: begin of the period; by default ``minutes`` before its end.
        end: end of the period; by default now.
        minutes: length of the period; RDS's default is 60.
        categories: categories to include; empty for all.
    """
    last = end or now
    first = start or last - timedelta(minutes=minutes or 60)
    wanted = set(categories)
    return [
        event
        for event in events
        if first <= event.date <= last and (not wanted or not wanted.isdisjoint(event.event_categories))
    ]
