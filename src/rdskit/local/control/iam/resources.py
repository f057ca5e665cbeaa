"""Name the action and the resource of a request as IAM policies do.

Policies are evaluated for the first resource that a request names. If it names none, or one of a kind that is not in
this table, the resource is ``*``. Only a policy with ``"Resource": "*"`` allows such a request, which is the safe side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["action_of", "resource_of"]

#: Parameters of each service, with the prefix of the resource in its ARN. A value that is an ARN is used as it is.
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
    """Return the name of an action in policies, such as ``rds:DescribeDBInstances``."""
    return f"{service}:{action}"


def resource_of(service: str, region: str, account: str, parameters: Mapping[str, Any]) -> str:
    """Return the ARN of the resource that a request names, or ``*``.

    Args:
        service: the service of the request.
        region: the region of the request.
        account: the caller's account.
        parameters: parameters of the request, by AWS's names.
    """
    for parameter, prefix in _NAMED.get(service, ()):
        value = parameters.get(parameter)
        if isinstance(value, str) and value:
            if value.startswith("arn:"):
                return value
            place = "" if service in _WITHOUT_REGION else region
            # A queue is named by its URL, whose last part is the name. RDS ignores case and stores lower case.
            name = value.rpartition("/")[2] if service == "sqs" else value.lstrip("/")
            name = name.lower() if service == "rds" else name
            return f"arn:aws:{service}:{place}:{account}:{prefix}{name}"
    return "*"
