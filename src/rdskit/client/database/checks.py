"""Check the types of the arguments of ``rdskit.connect``; ``Options`` checks their values."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rdskit.client.credentials import Iam
from rdskit.errors import ConfigError
from rdskit.kernel.arguments import (
    require_function,
    require_seconds,
    require_text,
    require_texts,
    require_whole,
    wrong,
)

if TYPE_CHECKING:
    from rdskit.client.database.arguments import ConnectArguments
    from rdskit.kernel.events import Observer


def with_checked_types(given: ConnectArguments) -> ConnectArguments:
    """Refuse arguments of a wrong type; return the others, with iterables converted to tuples.

    Raises:
        ConfigError: an argument has a wrong type. The message contains no credentials and no key.
    """
    for name in ("tls", "consistency", "topology", "pinning", "pipeline", "application_name"):
        require_text(name, getattr(given, name))
    require_seconds("timeout", given.timeout)
    require_seconds("connect_timeout", given.connect_timeout, or_none=False)
    require_whole("max_size", given.max_size)
    for name in ("min_size", "max_waiting", "processes"):
        if getattr(given, name) is not None:
            require_whole(name, getattr(given, name))
    _check_share(given.spill)
    _check_secrets(given.credentials, given.token_key)
    if not isinstance(given.ca, str | os.PathLike | None):
        raise wrong("ca", given.ca, "give the path of a PEM file")
    return given._replace(
        readers=given.readers if isinstance(given.readers, str) else require_texts("readers", given.readers),
        readable=require_texts("readable", given.readable),
        observers=_checked_observers(given.observers),
    )


def check_plain_types(timeout: Any, connect_timeout: Any, application_name: Any, tls: Any, credentials: Any) -> None:
    """Refuse arguments of ``dbapi_connect`` of a wrong type.

    Raises:
        ConfigError: an argument has a wrong type.
    """
    require_seconds("timeout", timeout, or_none=False)
    require_seconds("connect_timeout", connect_timeout, or_none=False)
    require_text("application_name", application_name)
    require_text("tls", tls)
    _check_secrets(credentials, None)


def _check_share(spill: Any) -> None:
    if spill is not None and (isinstance(spill, bool) or not isinstance(spill, int | float)):
        raise wrong("spill", spill, "give a number from 0 to 1, or None for no limit")


def _check_secrets(credentials: Any, token_key: Any) -> None:
    if token_key is not None and not isinstance(token_key, str):
        raise ConfigError(f"token_key= is of type {type(token_key).__name__}: give a str")
    # The value is never part of the message: it may be a password given by mistake.
    by_name = isinstance(credentials, str | Iam | None)
    if not by_name and (isinstance(credentials, type) or not callable(getattr(credentials, "login", None))):
        raise ConfigError(
            f"credentials= is of type {type(credentials).__name__}: give 'env', 'iam', 'secretsmanager:ID', "
            "'ssm:/path', rdskit.credentials.Iam(…), or an object with an async login() method"
        )


def _checked_observers(observers: Any) -> tuple[Observer, ...]:
    if isinstance(observers, str | bytes | Mapping) or not isinstance(observers, Iterable):
        raise wrong("observers", observers, "give a list of functions that take one event")
    return tuple(require_function("observers[…]", observer) for observer in observers)
