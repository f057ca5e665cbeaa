"""The arguments of ``rdskit.connect`` and ``rdskit.sync.connect`` as the application gave them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from rdskit.client.credentials import Iam
    from rdskit.kernel.events import Observer
    from rdskit.kernel.ports import Credentials


class ConnectArguments(NamedTuple):
    """Everything but the target, not yet checked. See ``connect`` for what each means.

    A named tuple, because this module is imported with the package: a dataclass would import ``inspect``.
    """

    credentials: str | Credentials | Iam | None
    tls: str
    ca: str | os.PathLike[str] | None
    cleartext_password: bool
    consistency: str
    readers: str | Iterable[str]
    readable: Iterable[str]
    topology: str
    timeout: float | None
    min_size: int | None
    max_size: int
    max_waiting: int | None
    connect_timeout: float
    application_name: str
    settings: Mapping[str, str | int | float] | None
    observers: Iterable[Observer]
    processes: int | None
    pinning: str
    spill: float | None
    token_key: str | None

    def __repr__(self) -> str:
        """Leave the values out: credentials and keys are among them."""
        return "ConnectArguments(…)"
