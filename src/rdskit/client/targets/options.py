"""Define and check the options of ``rdskit.connect``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rdskit.client.pool import PoolLimits
from rdskit.errors import ConfigError
from rdskit.kernel.choices import CONSISTENCIES, PINNINGS, PIPELININGS, TOPOLOGIES

if TYPE_CHECKING:
    import os

    from rdskit.client.credentials import Iam
    from rdskit.kernel.codecs import NamedCodec
    from rdskit.kernel.events import Observer
    from rdskit.kernel.ports import Credentials, Setting

_CHOICES = {
    "consistency": CONSISTENCIES,
    "topology": TOPOLOGIES,
    "pinning": PINNINGS,
    "pipeline": PIPELININGS,
}


@dataclass(frozen=True, slots=True)
class Options:
    """The checked options of ``connect``, where each is documented."""

    credentials: str | Credentials | Iam | None = field(default=None, repr=False)
    tls: str = "verify-full"
    ca: str | os.PathLike[str] | None = None
    cleartext_password: bool = False
    consistency: str = "session"
    readers: str | tuple[str, ...] = "auto"
    readable: tuple[str, ...] = ()
    topology: str = "auto"
    timeout: float | None = 30.0
    limits: PoolLimits = field(default_factory=PoolLimits)
    application_name: str = "rdskit"
    settings: tuple[Setting, ...] = field(default=(), repr=False)
    codecs: tuple[NamedCodec, ...] = ()
    observers: tuple[Observer, ...] = ()
    processes: int = 1
    pinning: str = "auto"
    pipeline: str = "off"
    spill: float | None = None
    token_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, values in _CHOICES.items():
            if (chosen := getattr(self, name)) not in values:
                raise ConfigError(f"{name}={chosen!r} is not known; choose one of {', '.join(values)}")
        if isinstance(self.readers, str) and self.readers not in {"auto", "off"}:
            raise ConfigError(f"readers={self.readers!r} is not known; choose 'auto', 'off', or give a list of hosts")
        if self.timeout is not None and self.timeout <= 0:
            raise ConfigError(f"timeout={self.timeout!r} leaves no time; give seconds above 0, or None for no limit")
        least, most = self.limits.min_size, self.limits.max_size
        if most < 1:
            raise ConfigError(f"max_size={most} is no pool: give max_size at least 1")
        if least > most:
            raise ConfigError(f"min_size={least} is larger than max_size={most}: lower it, or raise max_size")
        if self.limits.connect_timeout <= 0:
            raise ConfigError(
                f"connect_timeout={self.limits.connect_timeout!r} leaves no time; give seconds above 0, as in 5"
            )
        if self.spill is not None and not 0 <= self.spill <= 1:
            raise ConfigError(f"spill={self.spill!r} is not a share of the reads; give 0 to 1, or None for no limit")
        if self.processes < 1:
            raise ConfigError(f"processes={self.processes!r} is not a number of processes; give 1 or more")
