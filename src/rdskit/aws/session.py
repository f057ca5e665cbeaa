"""Import boto3 on first use, cache its clients, and call them in threads."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from rdskit.errors import AwsError, ConfigError, ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_building = threading.Lock()  # botocore's sessions are not thread-safe while they create a client
# At DEBUG these log complete requests and responses: secrets, and the session tokens of temporary keys.
_LOGGERS_WITH_SECRETS = ("botocore.auth", "botocore.endpoint", "botocore.parsers")
_debug_logs_off: ContextVar[bool] = ContextVar("rdskit_aws_hushed", default=False)

HINT = 'set AWS_DEFAULT_REGION and credentials, or run: eval "$(rdskit local env)"'
"""The next step in errors where AWS is not configured."""


def configuration() -> int:
    """Return a hash of all environment variables that configure AWS.

    Clients are cached by it, so that a change of a variable creates new ones.
    """
    names = (name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy"))
    return hash(frozenset((name, os.environ[name]) for name in names))


@functools.lru_cache(maxsize=8)
def _session(_configuration: int) -> Any:
    try:
        import boto3  # noqa: PLC0415 - an optional and heavy dependency: loaded on first use
    except ImportError as error:
        raise ConfigError("AWS is needed here, and boto3 is not installed: pip install 'rdskit[aws]'") from error
    return boto3.Session()


@functools.lru_cache(maxsize=64)
def _client(service: str, region: str | None, configured: int, hurried: bool) -> Any:  # noqa: FBT001 - a cache's key
    session = _session(configured)
    from botocore.config import Config  # noqa: PLC0415 - boto3 is loaded by now

    config = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
    if hurried:
        config = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "max_attempts": 1})
    made = session.client(service, region_name=region, config=config)
    if _would_use_proxy(made.meta.endpoint_url):
        made = session.client(service, region_name=region, config=config.merge(Config(proxies={})))
    return made


def _would_use_proxy(url: str) -> bool:
    """Return whether calls to a loopback address would go to a proxy, whose loopback is another machine's."""
    from ipaddress import ip_address  # noqa: PLC0415 - boto3, which is loaded by now, has imported all three
    from urllib.parse import urlsplit  # noqa: PLC0415
    from urllib.request import getproxies  # noqa: PLC0415

    host = urlsplit(url).hostname or ""
    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost" or host.endswith(".localhost")
    return is_loopback and bool(getproxies())


def _reset_in_child() -> None:
    """Drop all clients and replace the lock in a forked child.

    The clients' sockets belong to the parent, and a thread that does not exist in the child may hold the lock.
    """
    global _building  # noqa: PLW0603 - a lock cannot be released by a thread that does not hold it
    _building = threading.Lock()
    _client.cache_clear()
    _session.cache_clear()


os.register_at_fork(after_in_child=_reset_in_child)


def client(service: str, region: str | None = None, *, hurried: bool = False) -> Any:
    """Return the process's boto3 client for a service, configured by the standard variables and profiles.

    Args:
        service: boto3's name of the service.
        region: the endpoint's region; by default the configured one.
        hurried: make one attempt of three seconds at most, for an optional result.

    Raises:
        ConfigError: boto3 is missing, or region or profile are not configured.
    """
    with _building:
        try:
            return _client(service, region, configuration(), hurried)
        except ConfigError:
            raise
        except Exception as error:  # botocore's base class is not imported here, and boto3 raises others too
            raise ConfigError(f"AWS client for {service!r} cannot be created: {error}; {HINT}") from error


async def call(service: str, operation: str, *, region: str | None = None, **arguments: Any) -> dict[str, Any]:
    """Call one AWS operation in a thread.

    Args:
        service: boto3's name of the service. Neither request nor response is logged, whatever boto3's log level.
        operation: the client's method.
        region: the endpoint's region; by default the configured one.
        arguments: the operation's parameters.

    Returns:
        The response, parsed by boto3.

    Raises:
        AwsError: AWS refused the call.
        ConnectError: the endpoint cannot be reached.
        ConfigError: no credentials or region are configured.
    """
    return await _called(lambda: client(service, region), operation, arguments)


async def call_hurried(service: str, operation: str, *, region: str | None = None, **arguments: Any) -> dict[str, Any]:
    """Call one AWS operation for an optional result: like ``call``, with one attempt of three seconds at most."""
    return await _called(lambda: client(service, region, hurried=True), operation, arguments)


async def _called(make: Callable[[], Any], operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
    with without_debug_logs():
        return await asyncio.to_thread(_call, lambda: getattr(make(), operation), operation, arguments)


def _call(method: Callable[[], Any], operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
    bound = method()
    from botocore import exceptions  # noqa: PLC0415 - boto3 is loaded by now

    try:
        answer: dict[str, Any] = bound(**arguments)
    except exceptions.ClientError as error:
        details = error.response.get("Error", {})
        raise AwsError(operation, details.get("Code", "Unknown"), details.get("Message", str(error))) from error
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
        raise ConnectError(f"AWS {operation} cannot reach its endpoint: {error}; check AWS_ENDPOINT_URL") from error
    except exceptions.BotoCoreError as error:  # no credentials, or they cannot be loaded: an expired SSO session, …
        raise ConfigError(f"AWS {operation}: {error}; {HINT}") from error
    return answer


@contextmanager
def without_debug_logs() -> Iterator[None]:
    """Suppress boto3's debug logs of requests and responses, in this task and in threads that it starts."""
    for name in _LOGGERS_WITH_SECRETS:
        logging.getLogger(name).addFilter(_may_log)  # adding it twice has no effect
    token = _debug_logs_off.set(True)
    try:
        yield
    finally:
        _debug_logs_off.reset(token)


def _may_log(_: logging.LogRecord) -> bool:
    return not _debug_logs_off.get()
