"""List the AWS services of the local RDS, and those whose state a call can change."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from moto.backends import get_backend

if TYPE_CHECKING:
    from moto.core.base_backend import BackendDict

__all__ = ["ACCOUNT", "SERVICES", "backends_of", "changed_by", "is_region", "service_in", "service_of_signing_name"]

ACCOUNT = "123456789012"
"""The account of the local RDS's key pair; sessions of roles may act in others."""

SERVICES = ("rds", "secretsmanager", "ssm", "sns", "sqs", "iam", "sts", "kms", "ec2", "cloudwatch", "logs")

_SIGNING_NAMES = {"monitoring": "cloudwatch"}

_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/[^/]+/([a-z0-9-]+)/aws4_request")

_CHANGES = {
    "rds": ("rds", "secretsmanager", "kms", "sns", "sqs"),
    "secretsmanager": ("secretsmanager", "kms", "rds"),
    "sns": ("sns", "sqs"),
    "sts": ("sts", "iam"),
}
"""A call to the service may change the state of these services. A service that is not listed changes only itself.

A service that is missing in a list would lose a change at a crash, so a list may only be too long.
"""

_READING = ("Describe", "List", "Get", "Head", "Lookup", "Simulate", "Test", "Filter")


def service_of_signing_name(name: str) -> str:
    """Return the service whose requests are signed for ``name`` (``monitoring`` is CloudWatch)."""
    return _SIGNING_NAMES.get(name, name)


def service_in(credential: str) -> str:
    """Return the service in a signature's scope, unverified; empty if it is not served here."""
    scope = _SCOPE.search(credential)
    service = service_of_signing_name(scope[1]) if scope else ""
    return service if service in SERVICES else ""


def changed_by(service: str, action: str) -> tuple[str, ...]:
    """Return the services whose state an action can change; none for an action that only reads."""
    # AWS names actions by their verb. ReceiveMessage of SQS changes state, and its verb is not in the list.
    if action.startswith(_READING):
        return ()
    return _CHANGES.get(service, (service,))


def is_region(name: str) -> bool:
    """Return whether AWS has a region of that name."""
    return name in backends_of("ec2")[ACCOUNT].regions


def backends_of(service: str) -> BackendDict[Any]:
    """Return the backends of one service, by account and region."""
    return get_backend(service)  # type: ignore[call-overload, no-any-return]  # overloaded on literals only
