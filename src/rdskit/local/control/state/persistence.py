"""Save and restore the control plane's state: one file per service, account and region.

After an API call has returned, kill -9 loses nothing. Before the answer leaves, the backends that the call may have
changed are encoded, and their files are replaced in one step. Only a file that differs is written.

A file is one line with its version and its seal, then a document of `format`. The seal is an HMAC with the secret of
this local RDS: a file that was damaged, changed by hand or copied from elsewhere is refused before it is decoded.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, get_args

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from moto.core.base_backend import BaseBackend

from rdskit.errors import LocalError
from rdskit.local.control.layout import read_private, replace_file
from rdskit.local.control.services import backends_of
from rdskit.local.control.state.classes import allowed
from rdskit.local.control.state.format import Special, StateFormatError, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

__all__ = ["BackendKey", "StateStore", "UnknownPlaceError"]

_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2,12}(-[a-z0-9]{1,12}){0,4}")
_PARTS = 4
# moto's classes are part of the format: another release of moto may have other attributes.
_VERSION = f"rdskit-state 2 moto {version('moto')}"
_NEXT_STEP = "run `rdskit local reset` to begin again without it"


class UnknownPlaceError(LocalError):
    """A text that is not the name of an account or a region."""


@dataclass(frozen=True, slots=True)
class BackendKey:
    """The key of one backend: a service in one account and region (``aws`` for services without regions).

    An account may come from an ARN that a caller wrote, and becomes part of a file name: so both names are checked.

    Raises:
        UnknownPlaceError: the account or the region is not a valid name.
    """

    service: str
    account: str
    region: str

    def __post_init__(self) -> None:
        if not _ACCOUNT.fullmatch(self.account):
            raise UnknownPlaceError(f"{self.account!r} is not an account: an account has twelve digits")
        if not _REGION.fullmatch(self.region):
            raise UnknownPlaceError(f"{self.region!r} is not a region")

    @property
    def file_name(self) -> str:
        """Return the name of the backend's file."""
        return f"{self.service}.{self.account}.{self.region}.state"

    @classmethod
    def of_file(cls, name: str) -> BackendKey:
        """Return the key whose `file_name` is ``name``.

        Raises:
            LocalError: no key has this name.
        """
        parts = name.split(".")
        if len(parts) != _PARTS:
            raise LocalError(f"{name!r} is not the name of a state: remove that file")
        return cls(*parts[:-1])


class StateStore:
    """Saves and restores the state of the emulated services.

    Every method is called inside the control plane's monitor.

    Args:
        directory: directory of the files; created if missing, private to the user.
        services: the services whose state is saved.
        secret: the secret that seals the files.
    """

    def __init__(self, directory: Path, services: Iterable[str], secret: str) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._services = tuple(services)
        # A derived key: the seal reveals nothing of the secret that signs requests.
        self._secret = hmac.digest(secret.encode(), b"rdskit state", "sha256")
        self._digests: dict[BackendKey, bytes] = {}  # of the documents on disk
        self._restoring: dict[BackendKey, BaseBackend] = {}

    def attach(self) -> None:
        """Make moto restore the saved state of a backend when it creates the backend, on first use."""
        for service in self._services:
            backends = backends_of(service)
            backends.backend = _Restorer(self, service, backends.backend)  # type: ignore[assignment]  # called like the class

    def verify(self) -> None:
        """Verify the seal of every file, before any of them is used.

        Raises:
            LocalError: a file is damaged, was written by another version or another local RDS, or is of no service.
        """
        for path in sorted(self._directory.glob("*.state")):
            key = BackendKey.of_file(path.name)
            if key.service not in self._services:
                raise LocalError(f"{path} is no state of a service: remove that file")
            self._unsealed(path, key, read_private(path) or b"")

    def saved(self, service: str) -> list[BackendKey]:
        """Return the backends of ``service`` that have a file."""
        return [BackendKey.of_file(path.name) for path in sorted(self._directory.glob(f"{service}.*.state"))]

    def save(self, services: Iterable[str]) -> None:
        """Write every backend of ``services`` that differs from its file, and every new backend of any service.

        Raises:
            LocalError: a state could not be encoded or written.
        """
        chosen = set(services)
        # A read may create a backend, with random ids or keys for example: a new one is saved even if its service is
        # not listed, so that these values survive.
        for key, backend in self._living():
            if key.service in chosen or key not in self._digests:
                self._save_one(key, backend)

    def restore(self, key: BackendKey, backend: BaseBackend) -> None:
        """Restore the state of ``backend`` from its file, if there is one.

        Raises:
            LocalError: the file was written by another version or another local RDS, or is damaged.
        """
        path = self._directory / key.file_name
        content = read_private(path)
        if content is None:
            return
        body = self._unsealed(path, key, content)
        # Backends refer to each other: decoding this one may restore another one that refers back to it. moto adds a
        # backend to its table only after this returns, so resolve() finds it here until then.
        self._restoring[key] = backend
        try:
            decode(body.decode(), backend, allowed(), self._special({}))
        except (StateFormatError, UnicodeDecodeError) as error:
            raise LocalError(f"the state in {path} cannot be read ({error}): {_NEXT_STEP}") from error
        finally:
            del self._restoring[key]
        self._digests[key] = _digest(body)

    def resolve(self, key: BackendKey) -> Any:
        """Return the backend of ``key``, even while it is being restored."""
        return self._restoring.get(key) or backends_of(key.service)[key.account][key.region]

    def _living(self) -> Iterator[tuple[BackendKey, BaseBackend]]:
        # A copy: encoding one backend may create another.
        for service in self._services:
            for account, region, backend in list(backends_of(service).iter_backends()):
                yield BackendKey(service, account, region), backend

    def _save_one(self, key: BackendKey, backend: BaseBackend) -> None:
        names = {id(each): name for name, each in self._living()}
        try:
            body = encode(backend, allowed(), self._special(names)).encode()
        except StateFormatError as error:
            raise LocalError(f"the state of {key.service} in {key.region} cannot be saved: {error}") from error
        digest = _digest(body)
        # The digest is updated after the write: if the write fails, the next save tries again.
        if self._digests.get(key) != digest:
            replace_file(self._directory / key.file_name, self._sealed(key, body))
            self._digests[key] = digest

    def _sealed(self, key: BackendKey, body: bytes) -> bytes:
        return f"{_VERSION} {self._seal(key, body)}\n".encode() + body

    def _seal(self, key: BackendKey, body: bytes) -> str:
        # The name is part of the seal: the file of one backend cannot be put in the place of another.
        return hmac.digest(self._secret, f"{key.file_name}\n".encode() + body, "sha256").hex()

    def _unsealed(self, path: Path, key: BackendKey, content: bytes) -> bytes:
        """Return the body of a file that this version of this local RDS has written; refuse any other file."""
        # Before the seal is verified the content is untrusted: only a short, printable piece of it may be shown.
        line, _, body = content.partition(b"\n")
        writer, _, seal = line[:200].decode(errors="replace").rpartition(" ")
        if writer != _VERSION:
            found = line[:60].decode(errors="replace")
            found = found if found.isprintable() and found.startswith("rdskit-state ") else "something else"
            raise LocalError(
                f"the state in {path} was written as {found!r}, this is {_VERSION!r}: "
                f"install the version that wrote it, or {_NEXT_STEP}"
            )
        if not hmac.compare_digest(seal.encode(), self._seal(key, body).encode()):
            raise LocalError(f"the state in {path} is damaged, or was changed by another program: {_NEXT_STEP}")
        return body

    def _special(self, names: dict[int, BackendKey]) -> Special:
        def write(value: Any) -> list[str] | None:
            if isinstance(value, BaseBackend):
                key = names.get(id(value))
                return ["backend", key.service, key.account, key.region] if key else None
            # A lock has no state to keep; SQS queues have one.
            if isinstance(value, threading.Condition):
                return ["condition"]
            if isinstance(value, get_args(PrivateKeyTypes)):
                pem: bytes = value.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                return ["private key", pem.decode()]
            return None

        def read(texts: list[str]) -> Any:
            kind, *rest = texts
            if kind == "backend":
                service, account, region = rest
                if service not in self._services:
                    raise StateFormatError(f"there is no service {service!r}")
                return self.resolve(BackendKey(service, account, region))
            if kind == "condition":
                return threading.Condition()
            if kind == "private key":
                return load_pem_private_key(rest[0].encode(), None)
            raise StateFormatError(f"there is no special value {kind!r}")

        return Special(write, read)


class _Restorer:
    """A replacement of a service's backend class: creates a backend and restores its saved state."""

    def __init__(self, store: StateStore, service: str, make: Callable[[str, str], BaseBackend]) -> None:
        self._store = store
        self._service = service
        self._make = make

    def __call__(self, region_name: str, account_id: str) -> BaseBackend:
        key = BackendKey(self._service, account_id, region_name)
        backend = self._make(region_name, account_id)
        self._store.restore(key, backend)
        return backend


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()
