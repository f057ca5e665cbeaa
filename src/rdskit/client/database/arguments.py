"""Define the unchecked arguments of ``rdskit.connect`` and ``rdskit.sync.connect``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from rdskit.client.credentials import Iam
    from rdskit.kernel.codecs import Codec
    from rdskit.kernel.events import Observer
    from rdskit.kernel.ports import Credentials


class ConnectArguments(NamedTuple):
    """All arguments except the target, unchecked. They have the defaults of ``connect``, where each is documented.

    A named tuple, because this module is imported with the package: a dataclass would import ``inspect``.
    """

    credentials: str | Credentials | Iam | None = None
    tls: str = "verify-full"
    ca: str | os.PathLike[str] | None = None
    cleartext_password: bool = False
    consistency: str = "session"
    readers: str | Iterable[str] = "auto"
    readable: Iterable[str] = ()
    topology: str = "auto"
    timeout: float | None = 30.0
    min_size: int | None = None
    max_size: int = 10
    max_waiting: int | None = None
    connect_timeout: float = 5.0
    application_name: str = "rdskit"
    settings: Mapping[str, str | int | float] | None = None
    codecs: Mapping[str, Codec] | None = None
    observers: Iterable[Observer] = ()
    processes: int | None = None
    pinning: str = "auto"
    pipeline: str = "off"
    spill: float | None = None
    token_key: str | None = None

    def __repr__(self) -> str:
        """Leave the values out: credentials and keys are among them."""
        return "ConnectArguments(…)"
