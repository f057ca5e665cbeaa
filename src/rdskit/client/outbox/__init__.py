"""Deliver published outbox messages to the application, at least once."""

from rdskit.client.outbox.message import Message
from rdskit.client.outbox.relay import Handler, Relay

__all__ = ["Handler", "Message", "Relay"]
