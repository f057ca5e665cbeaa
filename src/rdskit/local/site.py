"""Brings a local RDS up and down, and tells how it is; everything here works on a data directory.

Nothing of the emulation or the servers is imported: that is the daemon's.
"""

from __future__ import annotations

import errno
import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from rdskit.errors import ConfigError, LocalError
from rdskit.local.certificates import LocalAuthority
from rdskit.local.control.keypair import read_key_pair
from rdskit.local.control.layout import Layout, read_json, write_json
from rdskit.local.engines.processes import end_orphans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "DEFAULT_PORT",
    "REGION",
    "SiteStatus",
    "check_port",
    "command",
    "data_directory",
    "down",
    "env",
    "failovers",
    "prepare_foreground",
    "reset",
    "status",
    "up",
]

ADDRESS = "127.0.0.1"
DEFAULT_PORT = 4566
REGION = "eu-west-1"

_UP_TIMEOUT = 90.0
_DOWN_TIMEOUT = 60.0
_POLL = 0.02
_LOG_LINES = 5
_LOG_LIMIT = 5 * 1024**2


@dataclass(frozen=True, slots=True)
class SiteStatus:
    """How a local RDS is.

    Attributes:
        running: whether its daemon lives.
        data: its data directory.
        port: of the AWS API; the remembered one when it is down.
        pid: of the daemon.
        endpoint: URL of the AWS API.
        already: ``up`` found it running.
        seconds: how long ``up`` or ``down`` took.
        health: what the daemon says of itself.
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
        """For JSON."""
        return asdict(self)


def data_directory(chosen: Path | None = None) -> Path:
    """The data directory: ``chosen``, else ``$RDSKIT_DATA``, else ``./.rdskit``."""
    return (chosen or Path(os.environ.get("RDSKIT_DATA") or ".rdskit")).expanduser().resolve()


def up(data: Path, port: int | None = None) -> SiteStatus:
    """Start a local RDS and return when it is ready; one that runs already is left alone.

    Args:
        data: the data directory; made when missing.
        port: of the AWS API; by default the remembered one, else 4566.

    Raises:
        LocalError: the port is taken, or the daemon did not become ready.
    """
    begun = time.monotonic()
    layout = Layout(data)
    layout.make()
    with _starting(layout):
        if _locked(layout):
            return _join(layout, port, begun)
        chosen = _prepare(layout, port)
        arguments, environment = command(data, chosen)
        child = _spawn(layout, arguments, environment)
        late = f"the local RDS on {data} did not become ready: see {layout.log}"
        _await(lambda: _ready(layout, child), _UP_TIMEOUT, late)
    return _running(layout, seconds=time.monotonic() - begun)


def prepare_foreground(data: Path, port: int | None = None) -> tuple[list[str], dict[str, str]]:
    """What to execute for a local RDS that stays in the foreground: arguments and environment.

    Raises:
        LocalError: the port is taken, or a local RDS runs on the directory already.
    """
    layout = Layout(data)
    if _locked(layout):
        raise LocalError(f"A local RDS is already running on {data}: `rdskit local down` ends it.")
    return command(data, _prepare(layout, port))


def command(data: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """The daemon's command line and environment.

    The user's AWS settings stay outside: a profile that does not exist must not keep the local RDS from starting.
    """
    arguments = [sys.executable, "-m", "rdskit.local.daemon", "--data", str(data), "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
    return arguments, environment


def down(data: Path) -> SiteStatus:
    """Stop a local RDS and all its servers; the data stays.

    Raises:
        LocalError: it did not end in time.
    """
    begun = time.monotonic()
    layout = Layout(data)
    if not _locked(layout):
        end_orphans(layout.fleet, "postgres")
        return status(data)
    pid = _pid(layout)
    if pid is not None and not _stopped(layout, pid, signal.SIGTERM):
        _stopped(layout, pid, signal.SIGKILL)
    end_orphans(layout.fleet, "postgres")
    if _locked(layout):
        raise LocalError(f"The local RDS on {data} (pid {pid}) did not stop: see {layout.log}.")
    return SiteStatus(running=False, data=str(data), port=_remembered(layout), seconds=time.monotonic() - begun)


def status(data: Path) -> SiteStatus:
    """How the local RDS on ``data`` is.

    Raises:
        LocalError: it lives, but does not answer.
    """
    layout = Layout(data)
    if _locked(layout):
        try:
            return _running(layout)
        except LocalError:
            # It may have ended between the two looks.
            if _locked(layout):
                raise
    return SiteStatus(running=False, data=str(data), port=_remembered(layout))


def env(data: Path) -> dict[str, str]:
    """The environment variables that point an AWS SDK and rdskit at the local RDS.

    Raises:
        ConfigError: it was never up.
    """
    layout = Layout(data)
    pair = read_key_pair(layout.key_pair)
    if pair is None:
        raise ConfigError(f"There is no local RDS in {data} yet: run `rdskit local up` first.")
    return {
        "AWS_ENDPOINT_URL": _url(_remembered(layout)),
        "AWS_ACCESS_KEY_ID": pair.access_key_id,
        "AWS_SECRET_ACCESS_KEY": pair.secret_access_key,
        "AWS_DEFAULT_REGION": REGION,
        "RDSKIT_CA": str(LocalAuthority(layout.fleet).ensure()),
    }


def reset(data: Path) -> SiteStatus:
    """Stop the local RDS and delete its data.

    Raises:
        LocalError: it did not stop, or the directory is not a local RDS's.
    """
    layout = Layout(data)
    if data.exists() and not layout.settings.exists():
        raise LocalError(f"{data} does not look like the data directory of a local RDS: delete it by hand if it is.")
    down(data)
    if data.exists():
        shutil.rmtree(data)
    return SiteStatus(running=False, data=str(data), port=DEFAULT_PORT)


def failovers(data: Path, identifier: str | None = None) -> list[dict[str, Any]]:
    """The failovers of the running local RDS, of one instance or of all.

    Raises:
        LocalError: it is not running.
    """
    found: list[dict[str, Any]] = _ask(_remembered(Layout(data)), "failovers")
    return [each for each in found if identifier in (None, each["identifier"])]


# ---- the daemon -----------------------------------------------------------------------------------------------------


def _prepare(layout: Layout, port: int | None) -> int:
    layout.make()
    chosen = port or _remembered(layout)
    check_port(chosen)
    write_json(layout.settings, {"port": chosen})
    layout.daemon.unlink(missing_ok=True)
    return chosen


@contextmanager
def _starting(layout: Layout) -> Iterator[None]:
    """One start at a time: whoever comes second finds the first one's daemon."""
    with layout.start.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _join(layout: Layout, port: int | None, begun: float) -> SiteStatus:
    """Wait for a daemon that somebody else has just started, or started long ago."""
    late = f"the local RDS on {layout.data} is starting, but did not become ready: see {layout.log}"
    _await(lambda: bool(read_json(layout.daemon).get("ready")), _UP_TIMEOUT, late)
    found = _running(layout, seconds=time.monotonic() - begun, already=True)
    if port not in (None, found.port):
        raise LocalError(
            f"The local RDS on {layout.data} is already up at port {found.port}: `rdskit local down` first."
        )
    return found


def _spawn(layout: Layout, arguments: list[str], environment: dict[str, str]) -> int:
    """Start the daemon in a session of its own, so that it outlives its terminal; returns its pid."""
    if layout.log.exists() and layout.log.stat().st_size > _LOG_LIMIT:
        layout.log.replace(layout.log.with_suffix(".log.1"))
    log = os.open(layout.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ]
        return os.posix_spawn(arguments[0], arguments, environment, file_actions=actions, setsid=True)
    finally:
        os.close(log)


def _ready(layout: Layout, child: int) -> bool:
    said = read_json(layout.daemon)
    if said.get("pid") == child and said.get("ready"):
        return True
    if _ended(child):
        raise LocalError(said.get("error") or f"The local RDS ended while starting: {_last_words(layout)}")
    return False


def _running(layout: Layout, *, seconds: float | None = None, already: bool = False) -> SiteStatus:
    said = read_json(layout.daemon)
    port = int(said.get("port", _remembered(layout)))
    ready = bool(said.get("ready"))
    return SiteStatus(
        running=True,
        data=str(layout.data),
        port=port,
        pid=said.get("pid"),
        endpoint=_url(port),
        already=already,
        seconds=seconds,
        health=_ask(port, "health") if ready else {"ready": False},
        instances=tuple(_ask(port, "instances")) if ready else (),
    )


def _locked(layout: Layout) -> bool:
    """Whether a daemon lives: the lock is its own as long as it does, however it ends."""
    try:
        file = layout.lock.open("r")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _pid(layout: Layout) -> int | None:
    pid = read_json(layout.daemon).get("pid")
    return int(pid) if pid is not None else None


def _ended(pid: int) -> bool:
    """Whether a process is gone, or waits for a parent that does not care; our own child is reaped."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        pass
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _stopped(layout: Layout, pid: int, number: signal.Signals) -> bool:
    """Send a signal to the daemon; whether it ended in time."""
    os.kill(pid, number)
    deadline = time.monotonic() + _DOWN_TIMEOUT
    while _locked(layout) or not _ended(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def _last_words(layout: Layout) -> str:
    lines = layout.log.read_text(errors="replace").splitlines() if layout.log.exists() else []
    return " / ".join(lines[-_LOG_LINES:]) or f"see {layout.log}"


def _remembered(layout: Layout) -> int:
    return int(read_json(layout.settings).get("port", DEFAULT_PORT))


# ---- sockets and waiting --------------------------------------------------------------------------------------------


def check_port(port: int) -> None:
    """Refuse a port that the AWS API cannot have.

    Raises:
        LocalError: somebody listens there, named if this user may know, or the port cannot be bound at all.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise LocalError(
                    f"Port {port} at {ADDRESS} is taken{_listener_name(port)}: "
                    "stop that, or choose another with `--port N`."
                ) from None
            raise LocalError(f"Port {port} at {ADDRESS} cannot be used: {error.strerror}.") from error


def _listener_name(port: int) -> str:
    """Who listens on a port, as far as this user may know."""
    try:
        connections = psutil.net_connections(kind="tcp4")
    except psutil.AccessDenied:
        return ""
    for each in connections:
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
            try:
                return f" by {psutil.Process(each.pid).name()} (pid {each.pid})"
            except psutil.Error:
                return f" by pid {each.pid}"
    return ""


def _ask(port: int, page: str) -> Any:
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=10)
    try:
        connection.request("GET", f"/_rdskit/{page}")
        return json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise LocalError(
            f"The local RDS at {_url(port)} does not answer ({error}): see `rdskit local status`."
        ) from error
    finally:
        connection.close()


def _await(condition: Callable[[], bool], timeout: float, late: str) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LocalError(late[0].upper() + late[1:])
        time.sleep(_POLL)


def _url(port: int) -> str:
    return f"http://{ADDRESS}:{port}"
