"""Resolve the AWS keys for signing: from the environment without importing boto3, else by botocore's chain."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rdskit.aws.session import HINT, call, configuration, without_debug_logs
from rdskit.errors import ConfigError

if TYPE_CHECKING:
    import datetime as dt

_resolving = threading.Lock()
_PROCESS = "custom-process"


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """The keys that sign a request to AWS.

    Attributes:
        access_key_id: the key's public identifier.
        secret_access_key: the secret for signing.
        session_token: the token of temporary keys, such as an assumed role's; else None.
        expires: when temporary keys expire, with a time zone; None if unknown.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class _Resolved:
    configuration: int
    session: Any
    credentials: Any


_latest: _Resolved | None = None


def _reset_in_child() -> None:
    """Replace the lock and drop the chain in a forked child.

    A thread that does not exist in the child may hold the lock, or botocore's lock for refreshing keys.
    """
    global _resolving, _latest  # noqa: PLW0603 - a lock cannot be released by a thread that does not hold it
    _resolving = threading.Lock()
    _latest = None


os.register_at_fork(after_in_child=_reset_in_child)


async def resolve_keys(*, refresh: bool = False) -> AwsKeys:
    """Resolve this process's keys by the standard chain: variables, profile, process, container, instance.

    Args:
        refresh: run the chain again instead of using its last result; expiring keys are refreshed in any case.

    Raises:
        ConfigError: there are none, or a provider of the chain failed.
    """
    from_environment = _from_environment()
    if from_environment is not None:
        return from_environment
    with without_debug_logs():
        return await asyncio.to_thread(_from_chain, refresh)


async def assume_role(
    role_arn: str, *, session_name: str, external_id: str | None = None, region: str | None = None
) -> AwsKeys:
    """Request temporary keys of a role (STS AssumeRole), signed with this process's keys.

    Args:
        role_arn: the role.
        session_name: the session's name in CloudTrail.
        external_id: the external ID, if the role's trust policy requires one.
        region: the region of the STS endpoint; by default the configured one.

    Raises:
        AwsError: the role may not be assumed.
        ConnectError: STS cannot be reached.
        ConfigError: no credentials or region are configured.
    """
    optional = {"ExternalId": external_id} if external_id else {}
    answer = await call("sts", "assume_role", region=region, RoleArn=role_arn, RoleSessionName=session_name, **optional)
    given = answer["Credentials"]
    return AwsKeys(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], given["Expiration"])


async def configured_region() -> str | None:
    """Return the region that the environment or the profile names; None if neither does."""
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return named or await asyncio.to_thread(_region_of_profile)


def _from_environment() -> AwsKeys | None:
    # botocore's chain starts here too. A Lambda function has its keys here, and needs no boto3 for a token.
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret or "AWS_CREDENTIAL_EXPIRATION" in os.environ:
        return None
    return AwsKeys(key, secret, os.environ.get("AWS_SESSION_TOKEN") or None)


def _from_chain(refresh: bool) -> AwsKeys:  # noqa: FBT001 - the one argument, through to_thread
    with _resolving:
        credentials = _resolve(refresh=refresh).credentials
    if credentials is None:
        raise ConfigError(f"no AWS credentials were found; {HINT}")
    frozen = _run_chain_step(credentials.get_frozen_credentials)
    # botocore has no public name for the expiry of refreshable keys.
    expires = getattr(credentials, "_expiry_time", None)
    return AwsKeys(frozen.access_key, frozen.secret_key, frozen.token, expires)


def _resolve(*, refresh: bool) -> _Resolved:
    global _latest  # noqa: PLW0603 - one chain for the process, as in boto3 itself
    configured = configuration()
    if refresh or _latest is None or _latest.configuration != configured:
        session = _new_session()
        _latest = _Resolved(configured, session, _run_chain_step(session.get_credentials))
    return _latest


def _region_of_profile() -> str | None:
    with _resolving:
        session = _latest.session if _latest and _latest.configuration == configuration() else _new_session()
        region: str | None = _run_chain_step(lambda: session.get_config_variable("region"))
    return region


def _new_session() -> Any:
    try:
        from botocore.session import Session  # noqa: PLC0415 - an optional and heavy dependency: loaded on first use
    except ImportError as error:
        raise ConfigError("AWS is needed here, and boto3 is not installed: pip install 'rdskit[aws]'") from error
    return Session()


def _run_chain_step(step: Any) -> Any:
    """Run a step of botocore's chain and convert its errors.

    An error's text may quote the output of a credentials process, which may be secret, so that text is dropped.
    """
    from botocore import exceptions  # noqa: PLC0415 - loaded by now

    try:
        return step()
    except exceptions.CredentialRetrievalError as error:
        provider = str(error.kwargs.get("provider"))
        reason = "run it by hand to see why" if provider == _PROCESS else str(error.kwargs.get("error_msg"))
    except exceptions.ClientError as error:  # assuming the role of a profile was refused
        provider, reason = error.operation_name, str(error)
    except (exceptions.BotoCoreError, OSError) as error:
        provider, reason = type(error).__name__, str(error)
    except ValueError as error:  # the process's output is not JSON
        provider, reason = _PROCESS, f"its output is not JSON ({type(error).__name__})"
    raise ConfigError(f"AWS credentials are not available from {provider}: {reason}; or {HINT}")
