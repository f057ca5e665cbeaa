"""AWS errors as bytes, in the protocol that the caller's SDK expects."""

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


_SIGNATURE_CODES: Final = {
    # The code and the status of services that speak XML, and the code of those that speak JSON.
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
    """Return the fault by which a service refuses a request whose signature does not let it in."""
    code, status, of_json = _SIGNATURE_CODES[error.problem]
    if "json" in content_type or "cbor" in content_type:
        code, status = of_json, 400
    elif service == "ec2":
        code, status = _EC2_CODES.get(error.problem, (code, status))
    return Fault(code, str(error), status)
