"""The front door: a WSGI application that finds the service, dispatches inside the monitor, and saves what changed."""

from __future__ import annotations

import io
import json
import logging
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from botocore.model import OperationNotFoundError
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from rdskit.errors import ConfigError, LocalError
from rdskit.local.control.faults import Answer, Fault, render
from rdskit.local.control.services import SERVICES, changed_by, is_region, service_of_signing_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIEnvironment

    from rdskit.local.control.monitor import Monitor
    from rdskit.local.control.persistence import StateStore

__all__ = ["Gateway", "Route"]

_log = logging.getLogger(__name__)

_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")


_UNSIGNED = {"AssumeRoleWithSAML": "sts", "AssumeRoleWithWebIdentity": "sts"}
"""What is asked by those who have no AWS keys yet, and the service that they ask."""

_EMULATION_PAGES = ("/moto-api", "/latest/", "/favicon.ico")
"""Pages by which the emulation can be reset or steered; the local RDS has its own."""


@dataclass(frozen=True, slots=True)
class Route:
    """One of the local RDS's own pages.

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
        routes: the local RDS's own pages.
    """

    def __init__(self, monitor: Monitor, store: StateStore, routes: Iterable[Route]) -> None:
        self._monitor = monitor
        self._store = store
        self._routes = {f"/_rdskit/{route.path}": route for route in routes}
        self._emulation = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        path = environ.get("PATH_INFO", "")
        answer = self._own_page(path, environ) if path.startswith("/_rdskit/") else self._aws(environ)
        headers = [pair for pair in answer.headers if pair[0].lower() != "content-length"]
        headers.append(("Content-Length", str(len(answer.body))))
        start_response(f"{answer.status} {_phrase(answer.status)}", headers)
        return [answer.body]

    def _own_page(self, path: str, environ: WSGIEnvironment) -> Answer:
        route = self._routes.get(path)
        if route is None:
            return _json(HTTPStatus.NOT_FOUND, {"error": f"no page {path}", "pages": sorted(self._routes)})
        if environ["REQUEST_METHOD"] != route.method:
            return _json(HTTPStatus.METHOD_NOT_ALLOWED, {"error": f"{path} wants {route.method}"})
        try:
            return _json(HTTPStatus.OK, route.answer(_asked(environ, route)))
        except (ConfigError, LocalError) as error:
            return _json(HTTPStatus.BAD_REQUEST, {"error": str(error), "kind": type(error).__name__})

    def _aws(self, environ: WSGIEnvironment) -> Answer:
        content_type = environ.get("CONTENT_TYPE", "")
        action = _action(environ, _buffer_body(environ))
        scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
        service = service_of_signing_name(scope["service"]) if scope else _UNSIGNED.get(action, "")
        if refusal := _refusal(environ, service, scope["region"] if scope else None):
            return render(refusal, service, content_type)
        try:
            return self._dispatch(environ, service, action)
        except (OperationNotFoundError, NotImplementedError):
            message = f"The local RDS does not implement {service}:{action or environ.get('PATH_INFO')}."
            return render(Fault("InvalidAction", message), service, content_type)
        except Exception as error:  # noqa: BLE001 - whatever the emulation raises, an SDK must get an AWS error
            _log.exception("%s:%s failed", service, action)
            message = f"{service}:{action} failed inside the local RDS: {type(error).__name__}: {error}"
            return render(Fault("InternalFailure", message, 500), service, content_type)

    def _dispatch(self, environ: WSGIEnvironment, service: str, action: str) -> Answer:
        with self._monitor:
            answer = _collect(self._emulation, environ)
            changed = changed_by(service, action)
            self._store.save(changed)
            if changed:
                self._monitor.announce()
        return answer


def _asked(environ: WSGIEnvironment, route: Route) -> Mapping[str, Any]:
    if route.method == "GET":
        return {name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
    if environ.get("CONTENT_TYPE") != "application/json":
        raise ConfigError(f"{route.path} takes application/json")
    asked = json.loads(_buffer_body(environ))
    if not isinstance(asked, dict):
        raise ConfigError(f"{route.path} takes a JSON object")
    return asked


def _refusal(environ: WSGIEnvironment, service: str, region: str | None) -> Fault | None:
    """Why a request is not for the emulation, if it is not.

    Args:
        environ: the request.
        service: that it is signed for.
        region: that it is signed for; None where it is not signed.
    """
    if region is None and not service:
        return Fault("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    if service not in SERVICES:
        served = ", ".join(SERVICES)
        return Fault("UnknownOperationException", f"The local RDS does not serve {service!r}; it serves {served}.")
    if environ.get("PATH_INFO", "").startswith(_EMULATION_PAGES):
        return Fault("AccessDenied", "This page is not part of AWS.", 403)
    if region is not None and not is_region(region):
        return Fault("SignatureDoesNotMatch", f"Credential should be scoped to a valid region, not {region!r}.", 403)
    return None


def _buffer_body(environ: WSGIEnvironment) -> bytes:
    """Read the body before the monitor is entered: a slow client holds up nobody."""
    stream = environ["wsgi.input"]
    terminated = environ.get("wsgi.input_terminated", False)
    body: bytes = stream.read() if terminated else stream.read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    return body


def _action(environ: WSGIEnvironment, body: bytes) -> str:
    """The action's name, from where each protocol keeps it: a header, the path, the form."""
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return str(target).rpartition(".")[2]
    if "/operation/" in environ.get("PATH_INFO", ""):
        return str(environ["PATH_INFO"]).rpartition("/operation/")[2]
    form = parse_qs(body.decode(errors="replace")) or parse_qs(environ.get("QUERY_STRING", ""))
    return form.get("Action", [""])[0]


def _collect(application: Any, environ: WSGIEnvironment) -> Answer:
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


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase
