"""Middleware that lets requests read from replicas and still see their user's writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.utils.decorators import sync_and_async_middleware

from rdskit.integrations.django.routing import reading_from_replicas

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

    from rdskit.integrations.django.policy import Reading

COOKIE: Final = "rdskit_wrote"
_PIN_SECONDS: Final = 10  # longer than a replica should lag


@sync_and_async_middleware
def read_your_writes(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Let each request read from replicas until it writes.

    The response to a request that wrote sets a cookie. With it the same browser's requests of the next
    ``RDSKIT_PIN_SECONDS`` (10 by default, 0 sets no cookie) read from the writer, so that the page after a form shows
    the saved data.
    """
    if iscoroutinefunction(get_response):

        async def answer_later(request: HttpRequest) -> HttpResponse:
            with reading_from_replicas(pinned=COOKIE in request.COOKIES) as reading:
                response = await get_response(request)
            return _with_cookie(response, reading)

        return answer_later

    def answer(request: HttpRequest) -> HttpResponse:
        with reading_from_replicas(pinned=COOKIE in request.COOKIES) as reading:
            response = get_response(request)
        return _with_cookie(response, reading)

    return answer


def _with_cookie(response: HttpResponse, reading: Reading) -> HttpResponse:
    seconds = getattr(settings, "RDSKIT_PIN_SECONDS", _PIN_SECONDS)
    if reading.wrote and seconds:
        secure = settings.SESSION_COOKIE_SECURE
        response.set_cookie(COOKIE, "1", max_age=seconds, httponly=True, samesite="Lax", secure=secure)
    return response
