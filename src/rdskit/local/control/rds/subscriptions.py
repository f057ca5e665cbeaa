"""Publish RDS events to the SNS topics of matching event subscriptions."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from moto.core.exceptions import ServiceException
from moto.sns.models import sns_backends

from rdskit.local.control.rds.events import Subscription, matches, notification

if TYPE_CHECKING:
    from collections.abc import Iterable

    from moto.rds.models import EventSubscription

    from rdskit.local.control.rds.events import Event

__all__ = ["publish"]

_log = logging.getLogger(__name__)


def publish(event: Event, subscriptions: Iterable[EventSubscription], account: str) -> None:
    """Publish ``event`` to the topic of every matching subscription. Call inside the monitor.

    A topic that no longer exists is only logged: RDS keeps such a subscription too, and drops its messages.
    """
    for each in subscriptions:
        if not matches(_filters_of(each), event):
            continue
        topics = sns_backends[account][event.region]
        try:
            # Deliveries to HTTP subscribers are only queued here (daemon/deliveries.py), so this does not block.
            topics.publish(notification(event), arn=each.sns_topic_arn, subject="RDS Notification Message")
        except ServiceException as error:
            _log.warning("event subscription %s: %s", each.subscription_name, error)


def _filters_of(subscription: EventSubscription) -> Subscription:
    return Subscription(
        enabled=subscription.enabled is not False,
        source_type=subscription.source_type,
        source_ids=tuple(subscription.source_ids or ()),
        categories=tuple(subscription.event_categories or ()),
    )
