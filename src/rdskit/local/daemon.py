"""Run the process of one local RDS: ``python -m rdskit.local.daemon --data DIR --port N``.

The daemon holds a lock on its data directory as long as it lives. So nothing that a crash leaves behind can be mistaken
for a running daemon. The servers start while the control plane is imported.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING

from rdskit.errors import LocalError
from rdskit.local.control.iam.guard import Guard
from rdskit.local.control.iam.keypair import ensure_key_pair
from rdskit.local.control.layout import Layout, write_json
from rdskit.local.control.loopback import ADDRESS, url
from rdskit.local.engines.postgres.providers import find_postgres
from rdskit.local.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.local.control.daemon.plane import ControlPlane
    from rdskit.local.fleet import FleetEvent

__all__ = ["main"]

_log = logging.getLogger(__name__)

_LOCK_TIMEOUT = 2.0  # seconds; `status` and `up` hold the lock for a moment to see whether a daemon lives


class Notices:
    """Events of the fleet for the control plane, queued until the control plane exists."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._early: list[FleetEvent] = []
        self._plane: ControlPlane | None = None

    def __call__(self, event: FleetEvent) -> None:
        """Pass an event on to the control plane, or queue it."""
        with self._lock:
            if self._plane is None:
                self._early.append(event)
                return
        # Outside the lock, so that the control plane's own locks never nest inside it.
        self._plane.notice(event)

    def verify_token(self, resource_id: str, user: str, token: str) -> str:
        """Return why an IAM token is refused, or ""; refuse every token until the control plane exists."""
        with self._lock:
            plane = self._plane
        return plane.judge(resource_id, user, token) if plane else "the local RDS is starting; try again"

    def attach(self, plane: ControlPlane) -> None:
        """Pass on the queued events, and every later one directly."""
        with self._lock:
            self._plane, early = plane, self._early
        for event in early:
            plane.notice(event)


class Daemon:
    """One local RDS, from the start of its first server to the end of its last.

    Args:
        layout: its data directory.
        port: of the AWS API.
        guard: proof that callers of the AWS API must give.
    """

    def __init__(self, layout: Layout, port: int, guard: Guard) -> None:
        self._layout = layout
        self._port = port
        self._guard = guard
        self._postgres = find_postgres()
        # SimpleQueue.put() is reentrant, so a signal handler may call it whatever the main thread is doing. Event.set()
        # takes a lock that the interrupted thread may hold.
        self._stop: SimpleQueue[None] = SimpleQueue()

    def stop(self, *_: object) -> None:
        """End :meth:`run`. A signal handler may call this."""
        self._stop.put(None)

    def run(self) -> None:
        """Serve until :meth:`stop` is called.

        Raises:
            LocalError: the directory is in use, the port is taken, or the servers cannot start.
        """
        # The port before the servers: a port that is taken must fail before anything is started.
        with _lock(self._layout), _listener(self._port) as listener:
            self._write_state(ready=False)
            notices = Notices()
            fleet = Fleet(self._layout.fleet, notify=notices, verify_token=notices.verify_token)
            try:
                plane = self._start(fleet)
                # Only after the control plane exists; the fleet has sent events since its start.
                notices.attach(plane)
                try:
                    self._serve(plane, listener)
                finally:
                    plane.close()
            finally:
                fleet.close()
                # Last: until the servers are down, `down` must still find this process.
                self._layout.daemon.unlink(missing_ok=True)

    def _start(self, fleet: Fleet) -> ControlPlane:
        with ThreadPoolExecutor(max_workers=1) as pool:
            started = pool.submit(fleet.start)
            begun = time.monotonic()
            from rdskit.local.control import emulation  # noqa: PLC0415 - slow: imported while the servers start

            emulation.prepare()
            from rdskit.local.control.daemon.plane import ControlPlane  # noqa: PLC0415 - as above

            _log.info("control plane imported in %.2f s", time.monotonic() - begun)
            # Raises the fleet's error here, before the API is served.
            started.result()
        return ControlPlane(self._layout, fleet, ensure_key_pair(self._layout.key_pair), self._guard)

    def _serve(self, plane: ControlPlane, listener: socket.socket) -> None:
        with plane.server(listener, self._health).running():
            self._write_state(ready=True)
            _log.info("ready at %s", url(self._port))
            if not self._guard.verify_signatures:
                _log.warning("signatures are not verified: every user of this machine can change everything here")
            self._stop.get()
            _log.info("stopping")

    def _health(self) -> object:
        postgres = {"engine": "postgres", "version": self._postgres.version, "provider": self._postgres.provider}
        return {
            "ready": True,
            "pid": os.getpid(),
            "port": self._port,
            "data": str(self._layout.data),
            "rdskit": version("rdskit"),
            "emulation": f"moto {version('moto')}",
            "engines": [postgres],
            "guard": asdict(self._guard),
        }

    def _write_state(self, *, ready: bool) -> None:
        write_json(self._layout.daemon, {"pid": os.getpid(), "port": self._port, "ready": ready})


def main(arguments: list[str] | None = None) -> int:
    """Run a daemon until SIGTERM or SIGINT; return the exit status."""
    parser = argparse.ArgumentParser(prog="rdskit.local.daemon")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--no-verify-signatures", dest="verify", action="store_false")
    parser.add_argument("--enforce-iam", action="store_true")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    layout = Layout(options.data.resolve())
    daemon = Daemon(layout, options.port, Guard(options.verify, options.enforce_iam))
    signal.signal(signal.SIGTERM, daemon.stop)
    signal.signal(signal.SIGINT, daemon.stop)
    try:
        daemon.run()
    except LocalError as error:
        _log.error("%s", error)
        # `up` waits for this file and shows the error to its user.
        write_json(layout.daemon, {"pid": os.getpid(), "error": str(error)})
        return 1
    return 0


@contextmanager
def _lock(layout: Layout) -> Iterator[None]:
    layout.make()
    with layout.lock.open("w") as file:
        if not _locked(file):
            raise LocalError(f"a local RDS is already running on {layout.data}: see `rdskit local status`")
        yield


def _locked(file: IO[str]) -> bool:
    """Return whether the lock was acquired. A process that checks whether a daemon lives may hold it briefly."""
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


@contextmanager
def _listener(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ADDRESS, port))
        except OSError as error:
            raise LocalError(
                f"port {port} at {ADDRESS} cannot be used ({error.strerror}): choose another with --port"
            ) from error
        listener.listen(128)
        yield listener


if __name__ == "__main__":
    sys.exit(main())
