"""The journal port, its text format, and the refusal of secrets."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, Protocol

from rdskit.errors import ConfigError, PlanError
from rdskit.plans.model import Entry, Event

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

_SECRET_KEY: Final = re.compile(
    r"pass(word|wd|phrase)?$|secret(_?(string|value|key))?$|token$|private_?key$", re.IGNORECASE
)
_URL_PASSWORD: Final = re.compile(r"://[^/@\s:]*:[^/@\s]+@")


class Log(Protocol):
    """The journal of one job, held by its one live owner."""

    @property
    def entries(self) -> Sequence[Entry]:
        """Every entry so far."""
        ...

    async def append(self, entry: Entry) -> None:
        """Write an entry; it is durable when this returns.

        Raises:
            ConfigError: it holds a secret, or something that is no JSON.
            PlanError: another owner has written to the journal.
        """
        ...


class Journal(Protocol):
    """A place for the journals of many jobs."""

    def own(self, job: str) -> AbstractAsyncContextManager[Log]:
        """Own a job for the length of the block.

        Raises:
            PlanError: the job has a live owner.
            OwnershipLost: the ownership was lost during the block (a failover), which was cancelled.
        """
        ...

    async def read(self, job: str) -> Sequence[Entry]:
        """Return a job's entries without owning it.

        Raises:
            PlanError: there is no such job.
        """
        ...

    async def jobs(self) -> Sequence[str]:
        """Return the ids of all jobs, oldest first."""
        ...

    async def is_owned(self, job: str) -> bool:
        """Return whether a live process owns the job."""
        ...


class OwnershipLost(PlanError):  # noqa: N818 - the name describes the event
    """The ownership of a job was lost while it ran; the same process may acquire it again."""


def encode(entry: Entry) -> str:
    """Return an entry as one line of JSON.

    Raises:
        ConfigError: it holds a secret, or something that is no JSON.
    """
    refuse_secrets(entry.body, entry.step or entry.event.value)
    fields = {"event": entry.event.value, "at": entry.at, "step": entry.step, "body": entry.body}
    try:
        return json.dumps({name: value for name, value in fields.items() if value is not None}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the journal cannot keep what {entry.step or entry.event.value!r} gave: {error}; return only what JSON "
            "holds (text, finite numbers, true, false, null, lists, and mappings with text keys)"
        ) from error


def decode(line: str, job: str) -> Entry:
    """Return the entry of one line.

    Raises:
        PlanError: it is not one.
    """
    try:
        fields = json.loads(line)
        return Entry(Event(fields["event"]), fields["at"], fields.get("step"), fields.get("body"))
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError(
            f"the journal of job {job!r} is damaged ({type(error).__name__} in one of its entries): look at what the "
            "job has done by hand, and remove the journal",
            job=job,
        ) from error


def refuse_secrets(value: Any, where: str) -> None:
    """Raise if a value looks like a secret: journals are kept and widely readable.

    Args:
        value: what a journal would keep.
        where: the step, for the error.

    Raises:
        ConfigError: a key is called like a secret, or a URL has a password in it.
    """
    if isinstance(value, dict):
        for key, each in value.items():
            if isinstance(key, str) and _SECRET_KEY.search(key) and isinstance(each, str) and each:
                raise ConfigError(
                    f"{where!r} would write {key!r} to the journal: keep the name of a secret, not the secret"
                )
            refuse_secrets(each, where)
    elif isinstance(value, list | tuple):
        for each in value:
            refuse_secrets(each, where)
    elif isinstance(value, str) and _URL_PASSWORD.search(value):
        raise ConfigError(
            f"{where!r} would write a URL with a password to the journal: leave the password out, and give credentials"
        )
