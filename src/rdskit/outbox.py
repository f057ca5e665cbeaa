"""Deliver outbox messages: ``tx.publish`` writes one in the transaction that it reports, and a relay delivers it.

Example::

    async def handler(message):
        await broker.send(message.topic, message.payload, id=message.id)

    await rdskit.outbox.Relay(db, handler).run()
"""

from rdskit.client.api import Handler, Message, Relay

__all__ = ["Handler", "Message", "Relay"]
