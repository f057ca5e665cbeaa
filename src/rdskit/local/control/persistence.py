"""The control plane's state on disk: one file per service, account and region.

After an API call has returned, kill -9 loses nothing: the backends that the call may have changed are pickled and
atomically replaced before the answer leaves. Only bytes that differ are written.

What does not pickle by itself is taught here: locks (sqs), functions defined inside other functions and dictionaries
with a constructor of their own (ssm), private keys (kms). A backend that refers to another backend is stored as a name,
never as a copy, so that
each exists once after a restart too.
"""

from __future__ import annotations

import copyreg
import hashlib
import importlib
import io
import pickle
import threading
from collections import defaultdict
from dataclasses import dataclass
from importlib.metadata import version
from types import CodeType, FunctionType
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
from rdskit.local.control.layout import replace_file
from rdskit.local.control.services import backends_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

__all__ = ["BackendKey", "StateStore"]

_HEADER = f"rdskit-state 1 moto {version('moto')}\n".encode()


@dataclass(frozen=True, slots=True)
class BackendKey:
    """Names one backend: a service in one account and region (``aws`` for services without regions)."""

    service: str
    account: str
    region: str

    @property
    def file_name(self) -> str:
        """The name of the backend's file."""
        return f"{self.service}.{self.account}.{self.region}.state"

    @classmethod
    def of_file(cls, name: str) -> BackendKey:
        """The key whose `file_name` is ``name``."""
        service, account, region, _ = name.split(".")
        return cls(service, account, region)


class StateStore:
    """Saves and restores the state of the emulated services.

    Every method is called inside the control plane's monitor.

    Args:
        directory: where the files are; made when missing, private to the user.
        services: the services whose state is kept.
    """

    def __init__(self, directory: Path, services: Iterable[str]) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._services = tuple(services)
        self._digests: dict[BackendKey, bytes] = {}
        self._restoring: dict[BackendKey, BaseBackend] = {}

    def attach(self) -> None:
        """Make every backend come into being with its saved state, when it is first asked for."""
        for service in self._services:
            backends = backends_of(service)
            backends.backend = _Restorer(self, service, backends.backend)  # type: ignore[assignment]  # called like the class

    def saved(self, service: str) -> list[BackendKey]:
        """The backends of ``service`` that have a file."""
        return [BackendKey.of_file(path.name) for path in sorted(self._directory.glob(f"{service}.*.state"))]

    def save(self, services: Iterable[str]) -> None:
        """Write every backend of ``services`` that differs from its file, and every backend that is new.

        Raises:
            LocalError: a state could not be pickled or written.
        """
        chosen = set(services)
        for key, backend in self._living():
            if key.service in chosen or key not in self._digests:
                self._save_one(key, backend)

    def restore(self, key: BackendKey, backend: BaseBackend) -> None:
        """Give ``backend`` the state of its file, if there is one.

        Raises:
            LocalError: the file was written by another version, or is damaged.
        """
        path = self._directory / key.file_name
        if not path.exists():
            return
        header, body = _split(path.read_bytes())
        if header != _HEADER:
            raise LocalError(
                f"The state in {path} was written as {header.decode(errors='replace').strip()!r}, this is "
                f"{_HEADER.decode().strip()!r}: install the version that wrote it, or run `rdskit local reset`."
            )
        self._restoring[key] = backend
        try:
            backend.__dict__.update(_StateUnpickler(io.BytesIO(body), self).load())
        except (pickle.UnpicklingError, AttributeError, ImportError, EOFError, IndexError, TypeError) as error:
            raise LocalError(f"The state in {path} cannot be read ({error}): run `rdskit local reset`.") from error
        finally:
            del self._restoring[key]
        self._digests[key] = _digest(body)

    def resolve(self, key: BackendKey) -> Any:
        """The living backend named ``key``; one that is just being restored is found too."""
        return self._restoring.get(key) or backends_of(key.service)[key.account][key.region]

    def _living(self) -> Iterator[tuple[BackendKey, BaseBackend]]:
        for service in self._services:
            for account, region, backend in list(backends_of(service).iter_backends()):
                yield BackendKey(service, account, region), backend

    def _save_one(self, key: BackendKey, backend: BaseBackend) -> None:
        body = self._pickle(key, backend)
        digest = _digest(body)
        if self._digests.get(key) != digest:
            replace_file(self._directory / key.file_name, _HEADER + body)
            self._digests[key] = digest

    def _pickle(self, key: BackendKey, backend: BaseBackend) -> bytes:
        buffer = io.BytesIO()
        try:
            _StatePickler(buffer, {id(each): name for name, each in self._living()}).dump(backend.__dict__)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise LocalError(f"The state of {key.service} in {key.region} cannot be saved: {error}") from error
        return buffer.getvalue()


class _Restorer:
    """Stands where a service keeps its backend class: makes a backend and gives it its saved state."""

    def __init__(self, store: StateStore, service: str, make: Callable[[str, str], BaseBackend]) -> None:
        self._store = store
        self._service = service
        self._make = make

    def __call__(self, region_name: str, account_id: str) -> BaseBackend:
        backend = self._make(region_name, account_id)
        self._store.restore(BackendKey(self._service, account_id, region_name), backend)
        return backend


class _StatePickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, names: dict[int, BackendKey]) -> None:
        super().__init__(file, protocol=5)
        self._names = names

    def persistent_id(self, obj: Any) -> Any:
        return self._names.get(id(obj)) if isinstance(obj, BaseBackend) else None

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, threading.Condition):
            return threading.Condition, ()
        if isinstance(obj, FunctionType) and "<locals>" in obj.__qualname__:
            return _inner_function, (obj.__module__, obj.__qualname__, _place(obj))
        if isinstance(obj, defaultdict) and type(obj) is not defaultdict:
            # Its own __reduce__ would call a constructor of another shape.
            slots = {"default_factory": obj.default_factory}
            return copyreg.__newobj__, (type(obj),), (vars(obj), slots), None, iter(obj.items())  # type: ignore[attr-defined]
        if isinstance(obj, get_args(PrivateKeyTypes)):
            pem = obj.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            return _private_key, (pem,)
        return NotImplemented


class _StateUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, store: StateStore) -> None:
        super().__init__(file)
        self._store = store

    def persistent_load(self, pid: Any) -> Any:
        return self._store.resolve(pid)


def _private_key(pem: bytes) -> PrivateKeyTypes:
    return load_pem_private_key(pem, None)


def _inner_function(module: str, qualified_name: str, place: int) -> FunctionType:
    """A function defined inside another one, found again by the path of its code."""
    namespace = vars(importlib.import_module(module))
    return FunctionType(_inner_codes(namespace, qualified_name)[place], namespace)


def _inner_codes(namespace: dict[str, Any], qualified_name: str) -> list[CodeType]:
    outer_name, _, inner_name = qualified_name.rpartition(".<locals>.")
    outer: Any = namespace[outer_name.split(".")[0]]
    for part in outer_name.split(".")[1:]:
        outer = getattr(outer, part)
    constants = outer.__code__.co_consts
    return [each for each in constants if isinstance(each, CodeType) and each.co_name == inner_name]


def _place(function: FunctionType) -> int:
    if function.__closure__:
        raise pickle.PicklingError(f"{function.__qualname__} closes over variables")
    namespace = vars(importlib.import_module(function.__module__))
    return _inner_codes(namespace, function.__qualname__).index(function.__code__)


def _split(content: bytes) -> tuple[bytes, bytes]:
    end = content.find(b"\n") + 1
    return content[:end], content[end:]


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()
