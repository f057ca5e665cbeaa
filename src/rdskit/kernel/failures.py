"""What went wrong, and whether the work may be done again: the retry table.

Sources: PostgreSQL appendix A (error codes); ``fe-protocol`` on when CommandComplete and the commit happen.
"""

from __future__ import annotations

from enum import Enum


class Failure(Enum):
    """What an error means for the connection and for the work."""

    LOST = "the connection is gone, or the server is going down"
    UNWELL = "the server answered that it is itself in trouble"
    READ_ONLY = "a write reached a host that is not the writer"
    CONFLICT = "concurrent work conflicts; nothing of this transaction remains"
    TIMEOUT = "the deadline passed while the server worked"
    REFUSED = "the statement itself was refused"


class Phase(Enum):
    """How far the work had come when it failed."""

    BEFORE_SEND = "nothing was sent"
    STATEMENT = "a statement outside a transaction was sent"
    PROCEDURE = "code that may commit by itself (CALL, DO) was sent"
    TRANSACTION = "inside a transaction, before COMMIT was sent"
    COMMIT = "COMMIT was sent"


class Action(Enum):
    """What may be done about it."""

    RETRY = "repeat it, because it cannot have happened"
    UNKNOWN = "it may have happened; raise `OutcomeUnknown` and never repeat it"
    LOST = "it did not happen, and only the caller can repeat it"
    RAISE = "raise what the server answered"


# (failure, phase) → (action for a read, action for a write). Nothing that may have happened is ever sent twice.
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
    """Look up the retry table.

    Args:
        failure: what the error means.
        phase: how far the work had come.
        writes: whether the statement, or anything in the transaction, can change data.
    """
    return RETRIES[failure, phase][writes]


_UNWELL_CLASSES = frozenset({"58", "99", "F0", "XX"})
_LOST_STATES = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
_CONFLICTS = frozenset({"40001", "40P01"})


def failure_of_sqlstate(sqlstate: str) -> Failure:
    """Classify a PostgreSQL error by its SQLSTATE, by class and not by a list of exact codes.

    40003 (statement completion unknown) counts as a lost connection, because its outcome is as open.
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
    """Tell whether a server that refused a *connection* is worth asking again.

    53xxx: out of connections, memory or disk; 57P03: starting up or shutting down; class 08: protocol trouble.
    """
    return sqlstate[:2] in {"53", "08"} or sqlstate in _LOST_STATES
