"""Parse the action and the parameters of an AWS request, by the service's own model."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from botocore.model import OperationNotFoundError
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.utils import get_service_model
from werkzeug.datastructures import MultiDict

from rdskit.local.control.http.messages import MalformedRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdskit.local.control.http.messages import Head

__all__ = ["FORM", "action_name", "decompressed", "form_of", "parameters_of"]

_MOST_FIELDS: Final = 10_000
FORM: Final = "application/x-www-form-urlencoded"
_TYPES: Final = frozenset(
    {"", FORM, "application/json", "application/x-amz-json-1.0", "application/x-amz-json-1.1", "application/cbor"}
)
_UNREADABLE: Final = (ValueError, TypeError, KeyError, AttributeError, LookupError, RecursionError)


def decompressed(head: Head, body: bytes, most: int) -> bytes:
    """Return the body without its compression.

    Raises:
        MalformedRequestError: the body is damaged, not gzip, or longer than ``most`` bytes.
    """
    # SDKs compress large bodies of some operations with gzip, CloudWatch's PutMetricData for example.
    encoding = head.headers.get("content-encoding", "").lower()
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise MalformedRequestError(f"the content encoding {encoding!r} is not gzip", status=415)
    inflater = zlib.decompressobj(wbits=31)  # 16 + 15: gzip with the largest window
    # One byte more than allowed shows that a small body inflates to too much, before the memory is used.
    try:
        whole = inflater.decompress(body, most + 1)
    except zlib.error as error:
        raise MalformedRequestError("the body is not gzip, as its header says") from error
    if len(whole) > most:
        raise MalformedRequestError(
            f"the body has more than {most} bytes", status=413, code="RequestEntityTooLargeException"
        )
    if not inflater.eof:
        raise MalformedRequestError("the compressed body ends in its middle")
    return whole


def form_of(head: Head, body: bytes) -> dict[str, str]:
    """Return the fields of a form in the body or in the query; none if the body is something else.

    Raises:
        MalformedRequestError: the form is malformed or has too many fields.
    """
    kind = _media_type(head)
    if kind not in _TYPES:
        raise MalformedRequestError(f"the content type {kind!r} is none of an AWS service's", status=415)
    try:
        source = body.decode() if body and kind in ("", FORM) else head.query
        fields = parse_qsl(source, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise MalformedRequestError(
            f"the form is not UTF-8, or has more than {_MOST_FIELDS} fields", code="MalformedQueryString"
        ) from error
    return dict(reversed(fields))  # of a field that appears twice the first one counts


def action_name(head: Head, form: Mapping[str, str]) -> str:
    """Return the name of the action from the form, a header or the path, by protocol."""
    if _media_type(head) in ("", FORM):
        return form.get("Action", "")
    # JSON protocols: "Prefix.Action" in a header. RPC v2 CBOR: /service/NAME/operation/ACTION in the path (Smithy).
    if target := head.headers.get("x-amz-target"):
        return target.rpartition(".")[2]
    return head.path.rpartition("/operation/")[2]


def parameters_of(service: str, action: str, head: Head, form: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
    """Return the parameters of a request, by AWS's names.

    Args:
        service: the service that is called.
        action: the result of :func:`action_name`.
        head: head of the request.
        form: its form fields.
        body: the body without compression.

    Raises:
        MalformedRequestError: the service has no such action, or a parameter has the wrong type.
    """
    model = get_service_model(service)
    try:
        operation = model.operation_model(action)
    except OperationNotFoundError:
        message = f"The local RDS does not implement {service}:{action or head.path}."
        raise MalformedRequestError(message, code="InvalidAction") from None
    if "cbor" in _media_type(head):
        return {}  # moto has no request parser for CBOR here; policies see the resource "*"
    protocol = "json" if "json" in _media_type(head) else "ec2" if service == "ec2" else "query"
    request = {"method": head.method, "values": MultiDict(form), "headers": head.headers, "body": body}
    try:
        if protocol == "json" and not isinstance(json.loads(body or b"{}"), dict):
            raise TypeError("not an object")
        parsed: Mapping[str, Any] = PROTOCOL_PARSERS[protocol](operation).parse(
            {**request, "url_path": head.path, "url_params": {}}  # type: ignore[typeddict-item]
        )
    except _UNREADABLE as error:
        code = "SerializationException" if protocol == "json" else "MalformedInput"
        message = f"the parameters of {service}:{action} are not of the types that it takes ({type(error).__name__})"
        raise MalformedRequestError(message, code=code) from error
    return parsed


def _media_type(head: Head) -> str:
    return head.headers.get("content-type", "").partition(";")[0].strip().lower()
