"""Error numbers of Oracle and SQL Server, which are reached through SQLAlchemy only.

Sources: "Oracle Database Error Messages"; SQL Server "Database Engine events and errors". The numbers come from these
lists and are tested with exceptions of the drivers; no real server of either engine has confirmed them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rdskit.errors import (
    DeadlockError,
    FailoverError,
    IntegrityError,
    QueryError,
    ReadOnlyError,
    SerializationError,
)
from rdskit.kernel.answers import Meaning
from rdskit.kernel.failures import Failure


@dataclass(frozen=True, slots=True)
class ErrorNumbers:
    """The error numbers of one engine that matter for the connection or for the work."""

    lost: frozenset[int]
    deadlock: frozenset[int]
    serialization: frozenset[int]
    read_only: frozenset[int]
    integrity: frozenset[int]
    login: frozenset[int]

    def meaning(self, number: int | None) -> Meaning:
        """Return the meaning of the error with this number."""
        for numbers, meaning in (
            (self.lost, Meaning(Failure.LOST, FailoverError)),
            (self.deadlock, Meaning(Failure.CONFLICT, DeadlockError)),
            (self.serialization, Meaning(Failure.CONFLICT, SerializationError)),
            (self.read_only, Meaning(Failure.READ_ONLY, ReadOnlyError)),
            (self.integrity, Meaning(Failure.REFUSED, IntegrityError)),
        ):
            if number in numbers:
                return meaning
        return Meaning(Failure.REFUSED, QueryError)


ORACLE: Final = ErrorNumbers(
    # 28 killed, 1012 not logged on, 1033/1034/1089/1090/1092 starting or stopping, 2396 idle for too long,
    # 3113/3114/3135 end of file, 12xxx the listener and the network, 254xx failed over, 28511 the link was lost
    lost=frozenset(
        {28, 1012, 1033, 1034, 1041, 1089, 1090, 1092, 2396, 3113, 3114, 3135, 12153, 12170, 12514, 12528, 12537}
        | {12541, 12543, 12545, 12547, 12570, 12571, 25401, 25402, 25403, 25405, 25408, 25409, 28511}
    ),
    deadlock=frozenset({60, 104}),
    serialization=frozenset({8177}),
    read_only=frozenset({16000, 16456}),
    integrity=frozenset({1, 1400, 1407, 2290, 2291, 2292}),
    login=frozenset({1005, 1017, 1045, 28000, 28001}),
)
SQL_SERVER: Final = ErrorNumbers(
    # 596 killed, 921/922/951/952/978/983/988 and 4060 the database is not back yet, 6005/17142 stopping, 1005x network
    lost=frozenset({596, 921, 922, 951, 952, 978, 983, 988, 4060, 6005, 10053, 10054, 10060, 17142, 18401}),
    deadlock=frozenset({1205}),
    serialization=frozenset({3960, 3961, 41302, 41305, 41325}),
    read_only=frozenset({976, 3906}),
    integrity=frozenset({515, 547, 2601, 2627}),
    login=frozenset({18452, 18456, 18487, 18488}),
)
