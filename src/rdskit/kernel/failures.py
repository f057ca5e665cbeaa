"""The retry table: what a failure means, and whether the work may be retried.

Sources: PostgreSQL appendix A (error codes); ``fe-protocol`` on when CommandComplete and the commit happen.
"""

from __future__ import annotations

from enum import Enum


class Failure(Enum):
    """The meaning of an error for the connection and for the work."""

    LOST = "the connection is gone, or the server is going down"
    UNWELL = "the server reported a fault of its own"
    READ_ONLY = "a write reached a host that is not the writer"
    CONFLICT = "concurrent work conflicts; nothing of this transaction remains"
    TIMEOUT = "the deadline passed while the server worked"
    REFUSED = "the statement itself was refused"


class Phase(Enum):
    """The phase of the work in which it failed."""

    BEFORE_SEND = "nothing was sent"
    STATEMENT = "a statement outside a transaction was sent"
    PROCEDURE = "code that may commit by itself (CALL, DO) was sent"
    TRANSACTION = "inside a transaction, before COMMIT was sent"
    COMMIT = "COMMIT was sent"


class Action(Enum):
    """The action that a failure allows."""

    RETRY = "repeat it, because it cannot have happened"
    UNKNOWN = "it may have happened; raise `OutcomeUnknown` and never repeat it"
    LOST = "it did not happen, and only the caller can repeat it"
    RAISE = "raise what the server answered"


# (failure, phase) → (action for a read, action for a write). Work that may have taken effect is never sent twice.
RETRIES: dict[tuple[Failure, Phase], tuple[Action, Action]] = {
    (Failure.LOST, Phase.BEFORE_SEND): (Action.RETRY, Action.RETRY),
    (Failure.LOST, Phase.STATEMENT): (Action.RETRY, Action.UNKNOWN),
    (Failure.LOST, Phase.PROCEDURE): (Action.UNKNOWN, Action.UNKNOWN),
    (Failure.LOST, Phase.TRANSACTION): (Action.LOST, Action.LOST),
    (Failure.LOST, Phase.COMMIT): (Action.UNKNOWN, Action.UNKNOWN),
    (Failure.UNWELL, Phase.BEFORE_SEND): (Action.RETRY, Action.RETRY),
    (Failure.UNWELL, Phase.STATEMENT): (Action.RETRY, Action.RAISE),
    (Failure.UNWELL, Phase.PROCEDURE): (Action.RAISE, Action.RAISE),
    (Failure.UNWELL, Phase.TRANSACTION): (Action.RAISE, Action.RAISE),
    (Failure.UNWELL, Phase.COMMIT): (Action.UNKNOWN, Action.UNKNOWN),
    (Failure.READ_ONLY, Phase.BEFORE_SEND): (Action.RETRY, Action.RETRY),
    (Failure.READ_ONLY, Phase.STATEMENT): (Action.RETRY, Action.RETRY),
    (Failure.READ_ONLY, Phase.PROCEDURE): (Action.UNKNOWN, Action.UNKNOWN),
    (Failure.READ_ONLY, Phase.TRANSACTION): (Action.LOST, Action.LOST),
    (Failure.READ_ONLY, Phase.COMMIT): (Action.LOST, Action.LOST),
    (Failure.CONFLICT, Phase.BEFORE_SEND): (Action.RETRY, Action.RETRY),
    (Failure.CONFLICT, Phase.STATEMENT): (Action.RETRY, Action.RETRY),
    (Failure.CONFLICT, Phase.PROCEDURE): (Action.UNKNOWN, Action.UNKNOWN),
    (Failure.CONFLICT, Phase.TRANSACTION): (Action.RAISE, Action.RAISE),
    (Failure.CONFLICT, Phase.COMMIT): (Action.RAISE, Action.RAISE),
    (Failure.TIMEOUT, Phase.BEFORE_SEND): (Action.RAISE, Action.RAISE),
    (Failure.TIMEOUT, Phase.STATEMENT): (Action.RAISE, Action.UNKNOWN),
    (Failure.TIMEOUT, Phase.PROCEDURE): (Action.UNKNOWN, Action.UNKNOWN),
    (Failure.TIMEOUT, Phase.TRANSACTION): (Action.RAISE, Action.RAISE),
    (Failure.TIMEOUT, Phase.COMMIT): (Action.UNKNOWN, Action.UNKNOWN),
    (Failure.REFUSED, Phase.BEFORE_SEND): (Action.RAISE, Action.RAISE),
    (Failure.REFUSED, Phase.STATEMENT): (Action.RAISE, Action.RAISE),
    (Failure.REFUSED, Phase.PROCEDURE): (Action.RAISE, Action.RAISE),
    (Failure.REFUSED, Phase.TRANSACTION): (Action.RAISE, Action.RAISE),
    (Failure.REFUSED, Phase.COMMIT): (Action.RAISE, Action.RAISE),
}


def action_for(failure: Failure, phase: Phase, *, writes: bool) -> Action:
    """Look up the action in the retry table.

    Args:
        failure: the error's meaning.
        phase: the phase in which the work failed.
        writes: whether the statement, or anything in the transaction, can change data.
    """
    return RETRIES[failure, phase][writes]


_UNWELL_CLASSES = frozenset({"58", "99", "F0", "XX"})
_LOST_STATES = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
_CONFLICTS = frozenset({"40001", "40P01"})


def failure_of_sqlstate(sqlstate: str) -> Failure:
    """Classify a PostgreSQL error by its SQLSTATE, mostly by its class.

    40003 (statement completion unknown) counts as a lost connection, because its outcome is just as unknown.
    """
    if sqlstate in _CONFLICTS:
        return Failure.CONFLICT
    if sqlstate == "25006":
        return Failure.READ_ONLY
    if sqlstate[:2] == "08" or sqlstate in _LOST_STATES or sqlstate == "40003":
        return Failure.LOST
    if sqlstate[:2] in _UNWELL_CLASSES:
        return Failure.UNWELL
    return Failure.REFUSED


def is_transient_refusal(sqlstate: str) -> bool:
    """Return whether a *connection* that was refused with this SQLSTATE is worth another attempt.

    53xxx: out of connections, memory or disk; 57P03: starting up or shutting down; class 08: protocol trouble.
    """
    return sqlstate[:2] in {"53", "08"} or sqlstate in _LOST_STATES
