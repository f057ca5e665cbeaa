"""The process of one local RDS: ``python -m rdskit.local.daemon --data DIR --port N``.

It holds a lock on its data directory as long as it lives, so nothing that a crash leaves behind can be mistaken for it.
The servers are started while the control plane is imported.
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

_LOCK_TIMEOUT = 2.0


class Notices:
    """What the fleet says to the control plane: kept until that is there to hear it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._early: list[FleetEvent] = []
        self._plane: ControlPlane | None = None

    def __call__(self, event: FleetEvent) -> None:
        """Pass an event on, or keep it."""
        with self._lock:
            if self._plane is None:
                self._early.append(event)
                return
        self._plane.notice(event)

    def verify_token(self, resource_id: str, user: str, token: str) -> str:
        """Have an IAM token judged; refused while there is nobody to judge it."""
        with self._lock:
            plane = self._plane
        return plane.judge(resource_id, user, token) if plane else "the local RDS is starting; try again"

    def attach(self, plane: ControlPlane) -> None:
        """Pass on what was kept, and everything from now on."""
        with self._lock:
            self._plane, early = plane, self._early
        for event in early:
            plane.notice(event)


class Daemon:
    """One local RDS, from its first server to its last.

    Args:
        layout: its data directory.
        port: of the AWS API.
        guard: what callers of the AWS API must prove.
    """

    def __init__(self, layout: Layout, port: int, guard: Guard) -> None:
        self._layout = layout
        self._port = port
        self._guard = guard
        self._postgres = find_postgres()
        # Its put() may be called from a signal handler, whatever the main thread is doing; an Event's set() may not.
        self._stop: SimpleQueue[None] = SimpleQueue()

    def stop(self, *_: object) -> None:
        """End `run`; may be called from a signal handler."""
        self._stop.put(None)

    def run(self) -> None:
        """Serve until `stop`.

        Raises:
            LocalError: the directory is in use, the port is taken, or the servers cannot be started.
        """
        with _lock(self._layout), _listener(self._port) as listener:
            self._write_state(ready=False)
            notices = Notices()
            fleet = Fleet(self._layout.fleet, notify=notices, verify_token=notices.verify_token)
            try:
                plane = self._start(fleet)
                notices.attach(plane)
                try:
                    self._serve(plane, listener)
                finally:
                    plane.close()
            finally:
                fleet.close()
                self._layout.daemon.unlink(missing_ok=True)

    def _start(self, fleet: Fleet) -> ControlPlane:
        with ThreadPoolExecutor(max_workers=1) as pool:
            started = pool.submit(fleet.start)
            begun = time.monotonic()
            from rdskit.local.control import emulation  # noqa: PLC0415 - slow: imported while the servers start

            emulation.prepare()
            from rdskit.local.control.daemon.plane import ControlPlane  # noqa: PLC0415 - as above

            _log.info("control plane imported in %.2f s", time.monotonic() - begun)
            started.result()
        return ControlPlane(self._layout, fleet, ensure_key_pair(self._layout.key_pair), self._guard)

    def _serve(self, plane: ControlPlane, listener: socket.socket) -> None:
        with plane.server(listener, self._health).running():
            self._write_state(ready=True)
            _log.info("ready at %s", url(self._port))
            if not self._guard.verify_signatures:
                _log.warning("signatures are not verified: everybody on this machine can do everything here")
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
    """Run a daemon until SIGTERM or SIGINT; returns the exit status."""
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
        write_json(layout.daemon, {"pid": os.getpid(), "error": str(error)})
        return 1
    return 0


@contextmanager
def _lock(layout: Layout) -> Iterator[None]:
    layout.make()
    with layout.lock.open("w") as file:
        if not _locked(file):
            raise LocalError(f"A local RDS is already running on {layout.data}: see `rdskit local status`.")
        yield


def _locked(file: IO[str]) -> bool:
    """Take the lock; somebody who only looks whether we live may hold it for a moment."""
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
                f"Port {port} at {ADDRESS} cannot be used ({error.strerror}): choose another with --port."
            ) from error
        listener.listen(128)
        yield listener


if __name__ == "__main__":
    sys.exit(main())
