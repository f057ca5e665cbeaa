"""Answers every HTTP request of the local RDS: checks who asks for what, dispatches inside the monitor, and saves."""

from __future__ import annotations

import io
import json
import logging
import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote

from moto.moto_server.werkzeug_app import create_backend_app

from rdskit.errors import ConfigError, LocalError
from rdskit.local.control.emulation import ACTION, CALLER
from rdskit.local.control.http.access import Caller, foreign_page
from rdskit.local.control.http.actions import FORM, action_name, decompressed, form_of, parameters_of
from rdskit.local.control.http.aws_errors import Answer, Fault, refusal, render
from rdskit.local.control.http.messages import Limits, MalformedRequestError
from rdskit.local.control.iam.keypair import is_page_key
from rdskit.local.control.iam.signatures import Problem, SignatureError
from rdskit.local.control.services import SERVICES, changed_by, service_in
from rdskit.local.control.state.persistence import UnknownPlaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rdskit.local.control.http.access import Access
    from rdskit.local.control.http.server import Request
    from rdskit.local.control.iam.keypair import KeyPair
    from rdskit.local.control.monitor import Monitor
    from rdskit.local.control.state.persistence import StateStore

__all__ = ["Gateway", "Route"]

_log = logging.getLogger(__name__)

_PAGES: Final = "/_rdskit/"
_OURS: Final = frozenset({"content-type", "content-length", "authorization", "content-encoding", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Route:
    """One of the local RDS's own pages, for those who have its keys.

    Attributes:
        path: below ``/_rdskit/``.
        answer: gets the query parameters, or of a POST the JSON object in its body; returns what becomes the JSON body.
        method: ``POST`` for a page that changes something. It takes JSON alone, which a web page of another origin
            cannot send unasked.
    """

    path: str
    answer: Callable[[Mapping[str, Any]], object]
    method: str = "GET"


class Gateway:
    """Answers every HTTP request of the local RDS.

    Args:
        monitor: held while a request is dispatched; given back by whoever waits.
        store: told after every request which services may have changed.
        access: decides who may ask for what.
        key_pair: opens the local RDS's own pages.
        routes: the local RDS's own pages.
    """

    def __init__(
        self, monitor: Monitor, store: StateStore, access: Access, key_pair: KeyPair, routes: Iterable[Route]
    ) -> None:
        self._monitor = monitor
        self._store = store
        self._access = access
        self._key_pair = key_pair
        self._routes = {f"{_PAGES}{route.path}": route for route in routes}
        self._services: dict[str, Any] = {}
        self._limits = Limits()

    def __call__(self, request: Request) -> Answer:
        """Answer one request."""
        if reason := foreign_page(request.head.headers):
            return render(Fault("AccessDenied", reason, 403), None, request.head.headers.get("content-type", ""))
        return self._own_page(request) if request.head.path.startswith(_PAGES) else self._aws(request)

    def _own_page(self, request: Request) -> Answer:
        head = request.head
        if not is_page_key(self._key_pair, head.headers.get("authorization", "")):
            error = f"{head.path} needs the key of this local RDS: `rdskit local` has it"
            return _json(HTTPStatus.UNAUTHORIZED, {"error": error})
        route = self._routes.get(head.path)
        if route is None:
            return _json(HTTPStatus.NOT_FOUND, {"error": f"no page {head.path}", "pages": sorted(self._routes)})
        if head.method != route.method:
            return _json(HTTPStatus.METHOD_NOT_ALLOWED, {"error": f"{head.path} wants {route.method}"})
        try:
            return _json(HTTPStatus.OK, route.answer(_asked(request, route)))
        except (ConfigError, LocalError) as error:
            return _json(HTTPStatus.BAD_REQUEST, {"error": str(error), "kind": type(error).__name__})

    def _aws(self, request: Request) -> Answer:
        content_type = request.head.headers.get("content-type", "")
        service = service_in(request.head.headers.get("authorization", "") or unquote(request.head.query))
        try:
            return self._served(request)
        except (MalformedRequestError, SignatureError, NotImplementedError, UnknownPlaceError) as error:
            fault = _fault(error, service, content_type)
        except Exception as error:  # noqa: BLE001 - whatever the emulation raises, an SDK must get an AWS error
            _log.exception("a request to %s failed", service)
            message = f"{service} failed inside the local RDS: {type(error).__name__}: {error}"
            fault = Fault("InternalFailure", message, 500)
        return render(fault, service, content_type)

    def _served(self, request: Request) -> Answer:
        head = request.head
        body = decompressed(head, request.body, self._limits.body)
        form = form_of(head, body)
        action = action_name(head, form)
        caller = self._access.caller(request, action, form)
        if caller.service not in SERVICES:
            message = f"The local RDS does not serve {caller.service!r}; it serves {', '.join(SERVICES)}."
            raise MalformedRequestError(message, code="UnknownOperationException")
        parameters = parameters_of(caller.service, action, head, form, body)
        self._access.authorize(caller, action, parameters)
        return self._dispatch(_environment(request, body, caller, action), caller.service, action)

    def _dispatch(self, environ: dict[str, Any], service: str, action: str) -> Answer:
        with self._monitor:
            application = self._services.get(service)
            if application is None:
                application = self._services[service] = create_backend_app(service)  # type: ignore[arg-type]
            answer = _collect(application, environ)
            if answer.body.startswith(b"<!doctype html>"):
                # No AWS service answers with a web page: there is no such path.
                raise NotImplementedError(f"{service}:{action}")
            changed = changed_by(service, action)
            self._store.save(changed)
            if changed:
                self._monitor.announce()
        return answer


def _fault(error: Exception, service: str, content_type: str) -> Fault:
    if isinstance(error, MalformedRequestError):
        return Fault(error.code, str(error), error.status)
    if isinstance(error, SignatureError):
        if error.problem is Problem.UNKNOWN_KEY:
            _log.warning("a request was refused: %s", error)
        return refusal(error, service, content_type)
    if isinstance(error, UnknownPlaceError):
        return Fault("InvalidParameterValue", str(error))
    return Fault("InvalidAction", f"The local RDS does not implement {error}.")


def _asked(request: Request, route: Route) -> Mapping[str, Any]:
    if route.method == "GET":
        return {name: values[0] for name, values in parse_qs(request.head.query, max_num_fields=100).items()}
    if request.head.headers.get("content-type") != "application/json":
        raise ConfigError(f"{route.path} takes application/json")
    try:
        asked = json.loads(request.body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise ConfigError(f"{route.path} takes a JSON object")
    return asked


def _environment(request: Request, body: bytes, caller: Caller, action: str) -> dict[str, Any]:
    """The request as the emulation's WSGI application takes it.

    Headers that steer the emulation (``x-moto-…``) stay outside. It learns from us alone who asks, for what, and where:
    it would look for an action in the query, in the body and in the headers, and might find another one than we did.
    """
    head = request.head
    environ: dict[str, Any] = {
        f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in head.headers.items()
        if name not in _OURS and "_" not in name and not name.startswith(("x-moto", "x-forwarded"))
    }
    scope = f"{caller.key_id}/20000101/{caller.region}/{caller.service}/aws4_request"
    query = "" if body else "&".join(part for part in head.query.split("&") if not part.startswith("X-Amz-"))
    form = {} if head.headers.get("content-type") else {"CONTENT_TYPE": FORM}
    return environ | {
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(head.path).encode().decode("latin-1"),
        "RAW_URI": f"{head.path}?{query}" if query else head.path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": head.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=verified",
        "SERVER_NAME": head.headers["host"].partition(":")[0],
        "SERVER_PORT": head.headers["host"].partition(":")[2] or "80",
        "SERVER_PROTOCOL": head.version,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        CALLER: caller,
        ACTION: action,
        **form,
    }


def _collect(application: Any, environ: dict[str, Any]) -> Answer:
    """Run a WSGI application to its end."""
    status, headers = HTTPStatus.INTERNAL_SERVER_ERROR, []

    def start_response(line: str, pairs: list[tuple[str, str]], _: object = None) -> None:
        nonlocal status, headers
        status, headers = HTTPStatus(int(line.partition(" ")[0])), pairs

    chunks = application(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    return Answer(status, tuple(headers), body)


def _json(status: HTTPStatus, value: object) -> Answer:
    body = json.dumps(value, default=str).encode()
    return Answer(status, (("Content-Type", "application/json"),), body)
