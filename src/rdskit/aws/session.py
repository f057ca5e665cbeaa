"""boto3, imported when it is first needed and called from threads."""

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

_building = threading.Lock()  # botocore's sessions are not thread-safe while they make a client
# At DEBUG these log requests and answers whole: secrets, and the session tokens of temporary keys.
_TALKATIVE = ("botocore.auth", "botocore.endpoint", "botocore.parsers")
_hushed: ContextVar[bool] = ContextVar("rdskit_aws_hushed", default=False)

HINT = 'set AWS_DEFAULT_REGION and credentials, or run: eval "$(rdskit local env)"'
"""What to do where AWS is not configured."""


def configuration() -> int:
    """A number that changes with every variable that configures AWS: what was made for other ones is not used again."""
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
    if _meets_proxy(made.meta.endpoint_url):
        made = session.client(service, region_name=region, config=config.merge(Config(proxies={})))
    return made


def _meets_proxy(url: str) -> bool:
    """Return whether calls of this machine's own address would go to a proxy, which has another loopback."""
    from ipaddress import ip_address  # noqa: PLC0415 - boto3, which is loaded by now, has imported all three
    from urllib.parse import urlsplit  # noqa: PLC0415
    from urllib.request import getproxies  # noqa: PLC0415

    host = urlsplit(url).hostname or ""
    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost" or host.endswith(".localhost")
    return is_loopback and bool(getproxies())


def _begin_anew() -> None:
    """In a forked child: a client's sockets are the parent's, and its lock may be held by a thread that is not here."""
    global _building  # noqa: PLW0603 - a lock cannot be released by whoever does not hold it
    _building = threading.Lock()
    _client.cache_clear()
    _session.cache_clear()


os.register_at_fork(after_in_child=_begin_anew)


def client(service: str, region: str | None = None, *, hurried: bool = False) -> Any:
    """Give the process's boto3 client for a service, configured by the standard variables and profiles.

    Args:
        service: as boto3 names it.
        region: whose endpoint to use; by default the configured one.
        hurried: one attempt of three seconds at most, for what can be done without.

    Raises:
        ConfigError: boto3 is missing, or region or profile are not configured.
    """
    with _building:
        try:
            return _client(service, region, configuration(), hurried)
        except ConfigError:
            raise
        except Exception as error:  # botocore's errors have no common base but its own, which needs the import
            raise ConfigError(f"AWS client for {service!r} cannot be made: {error}; {HINT}") from error


async def call(service: str, operation: str, *, region: str | None = None, **arguments: Any) -> dict[str, Any]:
    """Call one AWS operation in a thread.

    Args:
        service: as boto3 names it. What goes there and comes back is not logged, whatever level boto3's loggers have.
        operation: the client's method.
        region: whose endpoint to use; by default the configured one.
        arguments: the operation's parameters.

    Returns:
        The answer.

    Raises:
        AwsError: AWS refused the call.
        ConnectError: the endpoint cannot be reached.
        ConfigError: no credentials or region are configured.
    """
    return await _called(lambda: client(service, region), operation, arguments)


async def call_hurried(service: str, operation: str, *, region: str | None = None, **arguments: Any) -> dict[str, Any]:
    """Call one AWS operation for what can be done without: like ``call``, with one attempt of three seconds at most."""
    return await _called(lambda: client(service, region, hurried=True), operation, arguments)


async def _called(make: Callable[[], Any], operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
    with hushed():
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
    except exceptions.BotoCoreError as error:  # no credentials, or none that can be had: an expired SSO session, …
        raise ConfigError(f"AWS {operation}: {error}; {HINT}") from error
    return answer


@contextmanager
def hushed() -> Iterator[None]:
    """Keep what this task, or a thread that it starts with its context, says to AWS out of boto3's debug logs."""
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_is_not_hushed)  # again changes nothing
    token = _hushed.set(True)
    try:
        yield
    finally:
        _hushed.reset(token)


def _is_not_hushed(_: logging.LogRecord) -> bool:
    return not _hushed.get()
