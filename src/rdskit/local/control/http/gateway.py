"""Answer each HTTP request: check the caller, dispatch to moto inside the monitor, and save the changed state."""

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
#: Headers that are not copied into the WSGI environment: it gets them in other forms below.
_SET_HERE: Final = frozenset(
    {"content-type", "content-length", "authorization", "content-encoding", "transfer-encoding"}
)


@dataclass(frozen=True, slots=True)
class Route:
    """One of the local RDS's own pages, for callers with its key.

    Attributes:
        path: below ``/_rdskit/``.
        answer: gets the query parameters, or the JSON object in the body of a POST. Returns the value of the JSON
            answer.
        method: ``POST`` for a page that changes something. It accepts only JSON, which a web page of another origin
            cannot send without a CORS preflight.
    """

    path: str
    answer: Callable[[Mapping[str, Any]], object]
    method: str = "GET"


class Gateway:
    """The gateway for all HTTP requests of the local RDS.

    Args:
        monitor: held while a request is dispatched; a request that waits releases it.
        store: saves the services that a request may have changed.
        access: checks signatures and permissions.
        key_pair: the key pair that the key of the own pages derives from.
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
        """Answer one request, in the thread of its connection."""
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
        # Outside the monitor: pages call the fleet, which may take long. Each page takes the monitor for its own
        # lookups.
        try:
            return _json(HTTPStatus.OK, route.answer(_asked(request, route)))
        except (ConfigError, LocalError) as error:
            return _json(HTTPStatus.BAD_REQUEST, {"error": str(error), "kind": type(error).__name__})

    def _aws(self, request: Request) -> Answer:
        content_type = request.head.headers.get("content-type", "")
        # The unverified service name only selects the protocol of an error: access checks the real one.
        service = service_in(request.head.headers.get("authorization", "") or unquote(request.head.query))
        try:
            return self._served(request)
        except (MalformedRequestError, SignatureError, NotImplementedError, UnknownPlaceError) as error:
            fault = _fault(error, service, content_type)
        except Exception as error:  # noqa: BLE001 - moto may raise anything: an SDK must get an AWS error
            _log.exception("a request to %s failed", service)
            message = f"{service} failed inside the local RDS: {type(error).__name__}: {error}"
            fault = Fault("InternalFailure", message, 500)
        return render(fault, service, content_type)

    def _served(self, request: Request) -> Answer:
        head = request.head
        # Parsing and the checks run outside the monitor, in this order: nothing is dispatched for an unchecked caller.
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
        # moto is not thread-safe, so one request runs at a time. The monitor is released by a waiter's call, by long
        # polling of SQS, and while an engine is fetched: other requests may change the state at these points.
        with self._monitor:
            application = self._services.get(service)
            if application is None:
                application = self._services[service] = create_backend_app(service)  # type: ignore[arg-type]
            answer = _collect(application, environ)
            if answer.body.startswith(b"<!doctype html>"):
                # moto's Flask application answers an unknown path with a page. No AWS service does.
                raise NotImplementedError(f"{service}:{action}")
            # Saved before the answer leaves: after the answer, kill -9 loses nothing. Still inside the monitor, so that
            # no other request changes the state between dispatch and save.
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
    """Return the request as the WSGI environment of moto's application.

    Headers that control moto (``x-moto-…``) are left out. Caller, action, service and region come from the gateway
    only: moto would search the query, the body and the headers for them, and might find others than those that were
    checked.
    """
    head = request.head
    # WSGI gives "a-b" and "a_b" the same variable: a name with an underscore could replace a checked header.
    environ: dict[str, Any] = {
        f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in head.headers.items()
        if name not in _SET_HERE and "_" not in name and not name.startswith(("x-moto", "x-forwarded"))
    }
    # moto reads service and region from this header's scope. The date and the signature do not matter any more.
    scope = f"{caller.key_id}/20000101/{caller.region}/{caller.service}/aws4_request"
    query = "" if body else "&".join(part for part in head.query.split("&") if not part.startswith("X-Amz-"))
    form = {} if head.headers.get("content-type") else {"CONTENT_TYPE": FORM}
    return environ | {
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": "",
        # PEP 3333: bytes of the path, decoded as Latin-1.
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
    """Run a WSGI application and return its whole answer."""
    status, headers = HTTPStatus.INTERNAL_SERVER_ERROR, []

    def start_response(line: str, pairs: list[tuple[str, str]], _: object = None) -> None:
        nonlocal status, headers
        status, headers = HTTPStatus(int(line.partition(" ")[0])), pairs

    # The iterator may do work of the request, so it is consumed here, inside the monitor (PEP 3333: close() is ours
    # too).
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
