"""Start and stop a local RDS, and report its status. Every function works on a data directory.

This imports neither the emulation nor the servers, which only the daemon needs.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdskit.errors import LocalError
from rdskit.local.certificates import LocalAuthority
from rdskit.local.control.daemon.environment import REGION, client_environment
from rdskit.local.control.daemon.process import DaemonProcess
from rdskit.local.control.iam.guard import Guard
from rdskit.local.control.iam.keypair import page_key, read_key_pair
from rdskit.local.control.layout import Layout, read_json, write_json
from rdskit.local.control.loopback import ask, check_port, url
from rdskit.local.control.state.place import check_place, settle
from rdskit.local.engines.processes import end_orphans

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DEFAULT_PORT",
    "REGION",
    "Guard",
    "LocalStatus",
    "clusters",
    "data_directory",
    "down",
    "env",
    "failovers",
    "foreground",
    "page_key_of",
    "reset",
    "served_port",
    "status",
    "up",
]

DEFAULT_PORT = 4566


@dataclass(frozen=True, slots=True)
class LocalStatus:
    """Status of a local RDS.

    Attributes:
        running: whether its daemon lives.
        data: its data directory.
        port: of the AWS API; the last one if it is down.
        pid: of the daemon.
        endpoint: URL of the AWS API.
        already: whether ``up`` found it running.
        seconds: how long ``up`` or ``down`` took.
        health: what the daemon reports of itself.
        instances: the DB instances in short.
    """

    running: bool
    data: str
    port: int
    pid: int | None = None
    endpoint: str | None = None
    already: bool = False
    seconds: float | None = None
    health: Mapping[str, Any] | None = None
    instances: tuple[Mapping[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the status as a dictionary for JSON."""
        return asdict(self)


def data_directory(chosen: Path | None = None) -> Path:
    """Return the data directory: ``chosen``, else ``$RDSKIT_DATA``, else ``./.rdskit``."""
    return (chosen or Path(os.environ.get("RDSKIT_DATA") or ".rdskit")).expanduser().resolve()


def up(data: Path, port: int | None = None, guard: Guard | None = None) -> LocalStatus:
    """Start a local RDS and return when it is ready. One that runs already is left alone.

    Args:
        data: the data directory; created if it is missing.
        port: of the AWS API; by default the last one, else 4566.
        guard: proof that callers must give; by default that they have a key of this local RDS.

    Raises:
        LocalError: the port is taken, it already runs with another port or guard, or it did not become ready.
    """
    begun = time.monotonic()
    layout = Layout(data)
    layout.make()
    settle(layout)
    daemon = DaemonProcess(layout)
    # Two processes may call up() at once. The second waits here and then finds the daemon of the first.
    with daemon.starting():
        already = daemon.alive and _answers(layout, daemon)
        if not already:
            daemon.start(_choose_port(layout, port), guard or Guard())
    found = _running(layout, seconds=time.monotonic() - begun, already=already)
    # Compared last: the running daemon is left alone whether or not it has the requested options.
    if port not in (None, found.port):
        raise LocalError(f"the local RDS on {data} is already up at port {found.port}: `rdskit local down` first")
    if already and guard is not None and found.health is not None and found.health.get("guard") != asdict(guard):
        raise LocalError(f"the local RDS on {data} is already up with other options: `rdskit local down` first")
    return found


def foreground(data: Path, port: int | None = None, guard: Guard | None = None) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and the environment of a command that runs a local RDS in the foreground.

    Raises:
        LocalError: the port is taken, or a local RDS already runs on the directory.
    """
    layout = Layout(data)
    layout.make()
    settle(layout)
    daemon = DaemonProcess(layout)
    if daemon.alive:
        raise LocalError(f"a local RDS is already running on {data}: `rdskit local down` stops it")
    return daemon.command(_choose_port(layout, port), guard or Guard())


def down(data: Path) -> LocalStatus:
    """Stop a local RDS and all its servers, including those that a killed daemon left. The data stay.

    Raises:
        LocalError: it did not stop in time.
    """
    begun = time.monotonic()
    layout = _checked(data)
    daemon = DaemonProcess(layout)
    was_up = daemon.alive
    if was_up:
        daemon.stop()
    # Always: a daemon that was killed with SIGKILL leaves its servers running.
    end_orphans(layout.fleet)
    seconds = time.monotonic() - begun if was_up else None
    return LocalStatus(running=False, data=str(data), port=served_port(layout), seconds=seconds)


def status(data: Path) -> LocalStatus:
    """Return the status of the local RDS on ``data``.

    Raises:
        LocalError: its daemon lives, but does not answer.
    """
    layout = _checked(data)
    daemon = DaemonProcess(layout)
    if daemon.alive:
        try:
            return _running(layout)
        except LocalError:
            # A daemon that is shutting down holds its lock, but no longer answers. That is "down", not an error.
            if not daemon.ends_soon():
                raise
    return LocalStatus(running=False, data=str(data), port=served_port(layout))


def env(data: Path) -> dict[str, str]:
    """Return the environment variables that point an AWS SDK and rdskit at the local RDS.

    Raises:
        LocalError: it was never up, or is a copy of another data directory.
    """
    layout = _checked(data)
    # A copied directory would point at the addresses and the port of the original.
    check_place(layout)
    pair = read_key_pair(layout.key_pair)
    if pair is None:
        raise LocalError(f"there is no local RDS in {data} yet: run `rdskit local up` first")
    authority = LocalAuthority(layout.fleet).ensure()
    return client_environment(url(served_port(layout)), pair, authority, os.environ)


def reset(data: Path) -> LocalStatus:
    """Stop the local RDS and delete its data.

    Raises:
        LocalError: it did not stop, or the directory is not that of a local RDS.
    """
    # --data may name any directory by mistake, and this deletes it.
    if data.exists() and not _checked(data).is_proven():
        raise LocalError(f"{data} does not look like the data directory of a local RDS: delete it by hand if it is")
    down(data)
    if data.exists():
        shutil.rmtree(data)
    return LocalStatus(running=False, data=str(data), port=DEFAULT_PORT)


def clusters(data: Path) -> list[dict[str, Any]]:
    """Return the DB clusters of the running local RDS: endpoints, the writer, and the readers in sync.

    Raises:
        LocalError: it is down.
    """
    found: list[dict[str, Any]] = _ask(Layout(data), "clusters")
    return found


def failovers(data: Path, identifier: str | None = None) -> list[dict[str, Any]]:
    """Return the failovers of the running local RDS, of one instance or of all.

    Raises:
        LocalError: it is down.
    """
    found: list[dict[str, Any]] = _ask(Layout(data), "failovers")
    return [each for each in found if identifier in (None, each["identifier"])]


def _answers(layout: Layout, daemon: DaemonProcess) -> bool:
    """Return whether a living daemon answers once it is ready; False for one that is shutting down."""
    # Another process may have started it a moment ago.
    daemon.await_ready()
    try:
        _ask(layout, "health")
    except LocalError:
        if not daemon.ends_soon():
            raise
        return False
    return True


def _choose_port(layout: Layout, port: int | None) -> int:
    chosen = port or served_port(layout)
    # Before the port is saved: one that is taken must not become the default of the next start.
    check_port(chosen)
    write_json(layout.settings, {"port": chosen})
    # The file of an earlier run would be taken for the new daemon's answer.
    layout.daemon.unlink(missing_ok=True)
    return chosen


def _checked(data: Path) -> Layout:
    layout = Layout(data)
    layout.check()
    return layout


def _ask(layout: Layout, page: str) -> Any:
    port = DaemonProcess(layout).said.get("port", served_port(layout))
    return ask(int(port), page, page_key_of(layout))


def page_key_of(layout: Layout) -> str:
    """Return the header that gives access to the pages of the local RDS on a data directory.

    Raises:
        LocalError: it was never up.
    """
    check_place(layout)
    pair = read_key_pair(layout.key_pair)
    if pair is None:
        raise LocalError(f"there is no local RDS in {layout.data} yet: run `rdskit local up` first")
    return page_key(pair)


def _running(layout: Layout, *, seconds: float | None = None, already: bool = False) -> LocalStatus:
    said = DaemonProcess(layout).said
    port = int(said.get("port", served_port(layout)))
    ready = bool(said.get("ready"))
    return LocalStatus(
        running=True,
        data=str(layout.data),
        port=port,
        pid=said.get("pid"),
        endpoint=url(port),
        already=already,
        seconds=seconds,
        health=_ask(layout, "health") if ready else {"ready": False},
        instances=tuple(_ask(layout, "instances")) if ready else (),
    )


def served_port(layout: Layout) -> int:
    """Return the port of the AWS API; if it is down, the last one or the default."""
    return int(read_json(layout.settings).get("port", DEFAULT_PORT))
