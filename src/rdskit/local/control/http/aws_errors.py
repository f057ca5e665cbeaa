"""Render AWS errors as HTTP answers, in the protocol that the caller's SDK expects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from moto.core.exceptions import ServiceException
from moto.core.model import OperationModel
from moto.core.request import determine_request_protocol
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model

from rdskit.local.control.iam.signatures import Problem
from rdskit.local.control.services import SERVICES

if TYPE_CHECKING:
    from rdskit.local.control.iam.signatures import SignatureError

__all__ = ["Answer", "Fault", "refusal", "render"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response to send."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class _ServiceFault(ServiceException):
    """An error of no particular service: moto derives an exception's service from the module of its class."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An AWS error: its code, its message and the HTTP status."""

    code: str
    message: str
    status: int = 400


def render(fault: Fault, service: str | None, content_type: str) -> Answer:
    """Return the answer that makes an SDK raise ``fault``.

    Args:
        fault: the error.
        service: the service whose protocol to use. For None or another service, ``content_type`` selects JSON or XML.
        content_type: content type of the request.
    """
    if service in SERVICES:
        return _in_protocol_of(service, fault, content_type)
    if "json" in content_type:
        body = json.dumps({"__type": fault.code, "message": fault.message}).encode()
        return Answer(fault.status, (("Content-Type", "application/x-amz-json-1.1"),), body)
    # Code and message stand twice: SDKs read them at the place of the query protocol, or of REST XML.
    text = f"<Code>{escape(fault.code)}</Code><Message>{escape(fault.message)}</Message>"
    body = f"<ErrorResponse><Error><Type>Sender</Type>{text}</Error>{text}</ErrorResponse>".encode()
    return Answer(fault.status, (("Content-Type", "text/xml"),), body)


def _in_protocol_of(service: str, fault: Fault, content_type: str) -> Answer:
    model = get_service_model(service)
    serializer = get_serializer_class(model.service_name, determine_request_protocol(model, content_type))
    # An error needs no operation, and the request may name one that does not exist.
    operation = OperationModel({}, model)
    result = serializer(operation_model=operation).serialize(_ServiceFault(fault.code, fault.message))
    body = result["body"]
    headers = tuple((str(name), str(value)) for name, value in result["headers"].items())
    return Answer(fault.status, headers, body.encode() if isinstance(body, str) else body)


_SIGNATURE_CODES: Final = {
    # Code and status for services that answer in XML, and the code for those that answer in JSON (AWS, "Common
    # errors").
    Problem.MISSING: ("MissingAuthenticationToken", 403, "MissingAuthenticationTokenException"),
    Problem.INCOMPLETE: ("IncompleteSignature", 400, "IncompleteSignatureException"),
    Problem.UNKNOWN_KEY: ("InvalidClientTokenId", 403, "UnrecognizedClientException"),
    Problem.MISMATCH: ("SignatureDoesNotMatch", 403, "InvalidSignatureException"),
    Problem.TIME: ("SignatureDoesNotMatch", 403, "InvalidSignatureException"),
    Problem.EXPIRED: ("ExpiredToken", 403, "ExpiredTokenException"),
    Problem.DENIED: ("AccessDenied", 403, "AccessDeniedException"),
}
_EC2_CODES: Final = {
    Problem.UNKNOWN_KEY: ("AuthFailure", 401),
    Problem.EXPIRED: ("RequestExpired", 400),
    Problem.DENIED: ("UnauthorizedOperation", 403),
}


def refusal(error: SignatureError, service: str, content_type: str) -> Fault:
    """Return the AWS error of a service for a request that failed the checks."""
    code, status, of_json = _SIGNATURE_CODES[error.problem]
    if "json" in content_type or "cbor" in content_type:
        code, status = of_json, 400  # JSON protocols have 400 for all client errors
    elif service == "ec2":
        code, status = _EC2_CODES.get(error.problem, (code, status))
    return Fault(code, str(error), status)
