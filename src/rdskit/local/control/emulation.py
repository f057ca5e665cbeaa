"""Prepares the emulation so that importing it is quick.

Two thirds of its import go into data that the local RDS never shows: the regions of EC2, found by loading EC2's whole
API model, and every EC2 instance type of every region. Here the regions come from the endpoints file alone, which gives
the same names, and there are no instance types and no machine images.
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
"""The key of a request's environment under which is what it asks for."""

CALLER = "rdskit.caller"
"""The key of a request's environment under which is who asks."""

_ENDPOINT_PREFIXES = {"cloudwatch": "monitoring"}


def prepare() -> None:
    """Change what the emulation loads. Call before its services are imported."""
    # No web page in the developer's browser has any business with the local RDS.
    settings.DISABLE_GLOBAL_CORS = True
    # Codes such as InvalidAction are in no service's model; SDKs know them all the same.
    warnings.filterwarnings("ignore", message=r".*does not match an error shape")
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    _identify_by_signature()
    Session.get_available_regions = _regions  # type: ignore[method-assign, assignment]  # its stub is odd
    load = utils.load_resource
    utils.load_resource = lambda resource: {} if resource.startswith("ec2/resources/instance_type") else load(resource)


def _regions(
    session: Any,
    service_name: str,
    partition_name: str = "aws",
    allow_non_regional: bool = False,  # noqa: FBT001, FBT002
) -> list[str]:
    """`Session.get_available_regions` for services whose endpoint prefix is known."""
    resolver = session._get_internal_component("endpoint_resolver")  # noqa: SLF001 - as botocore itself does
    prefix = _ENDPOINT_PREFIXES.get(service_name, service_name)
    found: list[str] = resolver.get_available_endpoints(prefix, partition_name, allow_non_regional)
    return found


def _identify_by_signature() -> None:
    """Have the emulation take action, region, account and access key from the gateway, and from no header or URL."""

    def caller(response: Any) -> Any:
        return response.normalized_request.environ[CALLER]

    BaseResponse._get_action = lambda self: self.normalized_request.environ[ACTION]  # type: ignore[method-assign]  # noqa: SLF001
    BaseResponse.get_region_from_url = lambda self, request, full_url: caller(self).region  # type: ignore[method-assign]  # noqa: ARG005
    BaseResponse.get_access_key = lambda self: caller(self).key_id  # type: ignore[method-assign]
    BaseResponse.get_current_account = lambda self: caller(self).account  # type: ignore[method-assign]
