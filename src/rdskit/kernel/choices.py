"""The fixed choices of the public functions: literals for type checkers, and the same values at run time."""

from __future__ import annotations

from typing import Final, Literal, get_args

TlsMode = Literal["verify-full", "require", "off"]
"""How a connection is encrypted, and whether the server's certificate is verified."""
Consistency = Literal["session", "strong", "eventual"]
"""What a read must see."""
TopologyMode = Literal["auto", "off"]
"""Whether the cluster of a host is looked up."""
Pinning = Literal["auto", "avoid", "allow"]
"""Whether a session keeps what an RDS Proxy would pin."""
Pipelining = Literal["auto", "off"]
"""Whether independent reads of many tasks share connections."""
Isolation = Literal["read committed", "repeatable read", "serializable"]
"""An isolation level that every engine has."""

TLS_MODES: Final[tuple[TlsMode, ...]] = get_args(TlsMode)
CONSISTENCIES: Final[tuple[Consistency, ...]] = get_args(Consistency)
TOPOLOGIES: Final[tuple[TopologyMode, ...]] = get_args(TopologyMode)
PINNINGS: Final[tuple[Pinning, ...]] = get_args(Pinning)
PIPELININGS: Final[tuple[Pipelining, ...]] = get_args(Pipelining)
ISOLATION_LEVELS: Final[tuple[Isolation, ...]] = get_args(Isolation)
