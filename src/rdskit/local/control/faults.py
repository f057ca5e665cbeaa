"""AWS errors as bytes, in the protocol that the caller's SDK expects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from xml.sax.saxutils import escape

from moto.core.exceptions import ServiceException
from moto.core.model import OperationModel
from moto.core.request import determine_request_protocol
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model

from rdskit.local.control.services import SERVICES

__all__ = ["Answer", "Fault", "render"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class _ServiceFault(ServiceException):
    """A fault of no particular service: the emulation finds an exception's service by the module of its class."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong, in AWS's words."""

    code: str
    message: str
    status: int = 400


def render(fault: Fault, service: str | None, content_type: str) -> Answer:
    """The answer that makes an SDK raise ``fault``.

    Args:
        fault: code and message.
        service: whose protocol to use; None or one that is not served here gets JSON or XML by the request's type.
        content_type: the request's.
    """
    if service in SERVICES:
        return _in_protocol_of(service, fault, content_type)
    if "json" in content_type:
        body = json.dumps({"__type": fault.code, "message": fault.message}).encode()
        return Answer(fault.status, (("Content-Type", "application/x-amz-json-1.1"),), body)
    text = f"<Code>{escape(fault.code)}</Code><Message>{escape(fault.message)}</Message>"
    body = f"<ErrorResponse><Error><Type>Sender</Type>{text}</Error>{text}</ErrorResponse>".encode()
    return Answer(fault.status, (("Content-Type", "text/xml"),), body)


def _in_protocol_of(service: str, fault: Fault, content_type: str) -> Answer:
    model = get_service_model(service)
    serializer = get_serializer_class(model.service_name, determine_request_protocol(model, content_type))
    operation = OperationModel({}, model)
    result = serializer(operation_model=operation).serialize(_ServiceFault(fault.code, fault.message))
    body = result["body"]
    headers = tuple((str(name), str(value)) for name, value in result["headers"].items())
    return Answer(fault.status, headers, body.encode() if isinstance(body, str) else body)
