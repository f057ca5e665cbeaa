"""Transactions: begun once, ended once, and repeated as a whole or not at all."""

from rdskit.client.transactions.policy import begin_text
from rdskit.client.transactions.retry import repeat
from rdskit.client.transactions.transaction import Transaction, begin

__all__ = ["Transaction", "begin", "begin_text", "repeat"]
