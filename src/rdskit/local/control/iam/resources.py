"""What a request is about, in the words of IAM: an action, and the ARN of the resource that its parameters name.

Policies are evaluated for the one resource that a request names first. A request that names none, or one of a kind that
is not in this table, is about ``*``: a policy then allows it with ``"Resource": "*"`` only, which is the safe mistake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["action_of", "resource_of"]

#: Parameter, and how the ARN of what it names begins; a parameter that has an ARN already is taken as it is.
_NAMED: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "rds": (
        ("DBInstanceIdentifier", "db:"),
        ("DBClusterIdentifier", "cluster:"),
        ("DBParameterGroupName", "pg:"),
        ("DBClusterParameterGroupName", "cluster-pg:"),
        ("DBSubnetGroupName", "subgrp:"),
        ("SubscriptionName", "es:"),
        ("DBClusterEndpointIdentifier", "cluster-endpoint:"),
        ("ResourceName", ""),
    ),
    "secretsmanager": (("SecretId", "secret:"), ("Name", "secret:")),
    "ssm": (("Name", "parameter/"),),
    "sns": (("TopicArn", ""), ("ResourceArn", ""), ("Name", "")),
    "sqs": (("QueueUrl", ""), ("QueueName", "")),
    "iam": (("UserName", "user/"), ("RoleName", "role/"), ("GroupName", "group/"), ("PolicyArn", "")),
    "sts": (("RoleArn", ""),),
    "kms": (("KeyId", "key/"),),
    "logs": (("logGroupName", "log-group:"),),
}
_WITHOUT_REGION: Final = ("iam", "sts")


def action_of(service: str, action: str) -> str:
    """Return the name of an action in policies, as in ``rds:DescribeDBInstances``."""
    return f"{service}:{action}"


def resource_of(service: str, region: str, account: str, parameters: Mapping[str, Any]) -> str:
    """Return the ARN of the resource that a request names, or ``*``.

    Args:
        service: that is asked.
        region: that it is asked in.
        account: that the caller acts in.
        parameters: of the request, by AWS's names.
    """
    for parameter, prefix in _NAMED.get(service, ()):
        value = parameters.get(parameter)
        if isinstance(value, str) and value:
            if value.startswith("arn:"):
                return value
            place = "" if service in _WITHOUT_REGION else region
            name = value.rpartition("/")[2] if service == "sqs" else value.lstrip("/")
            name = name.lower() if service == "rds" else name
            return f"arn:aws:{service}:{place}:{account}:{prefix}{name}"
    return "*"
