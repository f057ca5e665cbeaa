"""Journals in files: one JSON line per entry, synced to disk, with a lock that ends with its process."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rdskit.errors import ConfigError, PlanError
from rdskit.kernel.typing import override
from rdskit.plans.journal import Journal, Log, decode, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from rdskit.plans.model import Entry

DIRECTORY: Final = Path(".rdskit/jobs")
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")


class FileJournal(Journal):
    """Journals in a directory, one file a job.

    Args:
        directory: where; made when a job begins.
    """

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory

    @override
    @contextlib.asynccontextmanager
    async def own(self, job: str) -> AsyncIterator[Log]:
        path = self._path(job)
        descriptor = await asyncio.to_thread(_open_locked, path, job)
        try:
            entries, length = await asyncio.to_thread(_read, path, job)
            # A crash during a write leaves an incomplete line. It was not acknowledged, so no work depends on it.
            await asyncio.to_thread(os.ftruncate, descriptor, length)
            yield _FileLog(descriptor, entries)
        finally:
            os.close(descriptor)  # releases the lock as well

    @override
    async def read(self, job: str) -> Sequence[Entry]:
        path = self._path(job)
        if not path.exists():
            known = ", ".join(await self.jobs()) or "none"
            raise PlanError(f"there is no job {job!r} in {self._directory}; the jobs there are: {known}", job=job)
        return (await asyncio.to_thread(_read, path, job))[0]

    @override
    async def jobs(self) -> Sequence[str]:
        found = sorted(self._directory.glob("*.jsonl"), key=lambda path: (path.stat().st_mtime, path.name))
        return [path.name.removesuffix(".jsonl") for path in found]

    @override
    async def is_owned(self, job: str) -> bool:
        try:
            descriptor = os.open(self._path(job), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(descriptor)

    def _path(self, job: str) -> Path:
        if not _ID.fullmatch(job):
            raise ConfigError(f"{job!r} is not the id of a job: `rdskit jobs list` shows them")
        return self._directory / f"{job}.jsonl"


class _FileLog(Log):
    def __init__(self, descriptor: int, entries: list[Entry]) -> None:
        self._descriptor = descriptor
        self._entries = entries
        self._writing = asyncio.Lock()  # steps of a group end at the same time

    @property
    @override
    def entries(self) -> Sequence[Entry]:
        return self._entries

    @override
    async def append(self, entry: Entry) -> None:
        line = encode(entry).encode() + b"\n"
        async with self._writing:
            await asyncio.to_thread(_write_through, self._descriptor, line)
            self._entries.append(entry)


def _open_locked(path: Path, job: str) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"the journal {path} cannot be written: {error.strerror}; choose another place with --journal"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise PlanError(f"job {job} is being run by another process: wait for it, or stop it first", job=job) from error
    return descriptor


def _read(path: Path, job: str) -> tuple[list[Entry], int]:
    """Return the complete entries, and how many bytes they take."""
    whole = path.read_bytes().rpartition(b"\n")
    kept = whole[0] + whole[1]
    lines = kept.decode("utf-8", "replace").splitlines()
    return [decode(line, job) for line in lines], len(kept)


def _write_through(descriptor: int, line: bytes) -> None:
    while line:
        line = line[os.write(descriptor, line) :]
    os.fsync(descriptor)
