"""Run transactions, resolve lost COMMITs, and retry a transaction as a whole or not at all."""

from rdskit.client.transactions.commit_marker import CommitMarker, MarkerTable
from rdskit.client.transactions.commit_marking import CommitMarking
from rdskit.client.transactions.idempotency import Request, answer_once, fingerprint_of
from rdskit.client.transactions.locks import held_lock, lock_number
from rdskit.client.transactions.opening import begin
from rdskit.client.transactions.policy import begin_text
from rdskit.client.transactions.purge import purge_sometimes
from rdskit.client.transactions.retry import Call, name_of, repeat
from rdskit.client.transactions.tables import SETUP_LOCK, TABLES, explained, table_statements
from rdskit.client.transactions.transaction import Transaction

__all__ = [
    "SETUP_LOCK",
    "TABLES",
    "Call",
    "CommitMarker",
    "CommitMarking",
    "MarkerTable",
    "Request",
    "Transaction",
    "answer_once",
    "begin",
    "begin_text",
    "explained",
    "fingerprint_of",
    "held_lock",
    "lock_number",
    "name_of",
    "purge_sometimes",
    "repeat",
    "table_statements",
]
