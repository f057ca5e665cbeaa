"""Receive PostgreSQL notifications across failovers, on one connection for all channels of a database."""

from rdskit.client.notifications.hub import Hub
from rdskit.client.notifications.inbox import Inbox
from rdskit.client.notifications.listening import Listening

__all__ = ["Hub", "Inbox", "Listening"]
