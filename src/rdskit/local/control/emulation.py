"""Prepare moto so that its import is quick and its requests have the gateway's caller.

Two thirds of the import time go into data that the local RDS never shows: the regions of EC2, for which botocore loads
EC2's whole API model, and every EC2 instance type of every region. Here the regions come from the endpoints file alone,
which has the same names. Instance types and machine images stay empty.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

from botocore.session import Session
from moto import settings
from moto.core.responses import BaseResponse
from moto.utilities import utils

__all__ = ["ACTION", "CALLER", "prepare"]

ACTION = "rdskit.action"
"""The key of the action's name in a request's WSGI environment."""

CALLER = "rdskit.caller"
"""The key of the caller in a request's WSGI environment."""

# Services whose name differs from their key in the endpoints file.
_ENDPOINT_PREFIXES = {"cloudwatch": "monitoring"}


def prepare() -> None:
    """Change what moto loads. Call before its services are imported."""
    # moto would allow every web page in the developer's browser to read answers of the local RDS.
    settings.DISABLE_GLOBAL_CORS = True
    # Codes such as InvalidAction are in no service's model, but SDKs know them.
    warnings.filterwarnings("ignore", message=r".*does not match an error shape")
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    _identify_by_signature()
    Session.get_available_regions = _regions  # type: ignore[method-assign, assignment]  # its stub is odd
    # At its import moto.ec2 loads instance types for every region. It imports load_resource by name, so the replacement
    # must be in place before.
    load = utils.load_resource
    utils.load_resource = lambda resource: {} if resource.startswith("ec2/resources/instance_type") else load(resource)


def _regions(
    session: Any,
    service_name: str,
    partition_name: str = "aws",
    allow_non_regional: bool = False,  # noqa: FBT001, FBT002
) -> list[str]:
    """Return the regions of a service like `Session.get_available_regions`, without its API model."""
    # botocore reads the endpoint prefix from the model. For the services here it is the name, or in the table above.
    resolver = session._get_internal_component("endpoint_resolver")  # noqa: SLF001 - as botocore itself does
    prefix = _ENDPOINT_PREFIXES.get(service_name, service_name)
    found: list[str] = resolver.get_available_endpoints(prefix, partition_name, allow_non_regional)
    return found


def _identify_by_signature() -> None:
    """Have moto take action, region, account and access key from the gateway, not from headers or URLs."""
    # moto searches the URL and User-Agent for a region, and the form, headers and path for an action. A caller could
    # put other values there than those that were checked.

    def caller(response: Any) -> Any:
        return response.normalized_request.environ[CALLER]

    BaseResponse._get_action = lambda self: self.normalized_request.environ[ACTION]  # type: ignore[method-assign]  # noqa: SLF001
    BaseResponse.get_region_from_url = lambda self, request, full_url: caller(self).region  # type: ignore[method-assign]  # noqa: ARG005
    BaseResponse.get_access_key = lambda self: caller(self).key_id  # type: ignore[method-assign]
    BaseResponse.get_current_account = lambda self: caller(self).account  # type: ignore[method-assign]
