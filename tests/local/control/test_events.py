"""RDS events as plain values: subscriptions, periods, and the text for SNS."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from rdskit.local.control.rds.events import EVENTS, Event, Subscription, matches, notification, within

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000)  # noqa: DTZ001 - the emulation's dates are naive UTC
EVENT = Event(
    source_identifier="shop",
    source_arn="arn:aws:rds:eu-west-1:123456789012:db:shop",
    message=EVENTS["failover-completed"].message,
    event_categories=("failover",),
    date=NOW,
    event_id="RDS-EVENT-0049",
    region="eu-west-1",
)


@pytest.mark.parametrize(
    ("subscription", "wanted"),
    [
        (Subscription(enabled=True, source_type=None, source_ids=(), categories=()), True),
        (Subscription(enabled=False, source_type=None, source_ids=(), categories=()), False),
        (Subscription(enabled=True, source_type="db-instance", source_ids=("shop",), categories=("failover",)), True),
        (Subscription(enabled=True, source_type="db-snapshot", source_ids=(), categories=()), False),
        (Subscription(enabled=True, source_type="db-instance", source_ids=("other",), categories=()), False),
        (Subscription(enabled=True, source_type=None, source_ids=(), categories=("creation", "deletion")), False),
    ],
)
def test_subscription_gets_what_it_asks_for(subscription: Subscription, wanted: bool) -> None:  # noqa: FBT001
    assert matches(subscription, EVENT) is wanted


def test_notification_has_the_shape_of_rds() -> None:
    told = json.loads(notification(EVENT))
    assert told["Event Time"] == "2026-01-02 03:04:05.678"
    assert told["Source ID"] == "shop"
    assert told["Event Message"] == "Multi-AZ instance failover completed"
    assert told["Event ID"].endswith("#RDS-EVENT-0049")
    assert told["Identifier Link"].endswith("region=eu-west-1#dbinstance:id=shop")


def test_period_is_the_last_hour_unless_asked_otherwise() -> None:
    from dataclasses import replace

    old = replace(EVENT, date=NOW - timedelta(minutes=61))
    recent = replace(EVENT, date=NOW - timedelta(minutes=59), event_categories=("creation",))
    events = [old, recent]
    assert within(events, now=NOW) == [recent]
    assert within(events, now=NOW, minutes=120) == events
    assert within(events, now=NOW, start=old.date, end=old.date) == [old]
    assert within(events, now=NOW, minutes=120, categories=["creation"]) == [recent]


def test_texts_take_a_reason_or_nothing() -> None:
    for kind in EVENTS.values():
        assert "{" not in kind.message.format(reason="why")
