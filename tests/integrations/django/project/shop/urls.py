from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection
from django.http import JsonResponse
from django.urls import path

from tests.integrations.django.project.shop.models import Customer

if TYPE_CHECKING:
    from django.http import HttpRequest


def served_by(_: HttpRequest) -> JsonResponse:
    """Return where this request reads."""
    return JsonResponse({"alias": Customer.objects.all().db})


def write_and_read(request: HttpRequest, name: str) -> JsonResponse:
    """Write by the ORM or by SQL, between two reads."""
    before = Customer.objects.all().db
    if request.GET.get("raw"):
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO shop_customer (name, profile) VALUES (%s, '{}')", [name])
    else:
        Customer.objects.create(name=name)
    found = Customer.objects.get(name=name)
    return JsonResponse({"before": before, "after": found._state.db})


async def later(_: HttpRequest, name: str) -> JsonResponse:
    before = Customer.objects.all().db
    await Customer.objects.acreate(name=name)
    found = await Customer.objects.aget(name=name)
    return JsonResponse({"before": before, "after": found._state.db})


urlpatterns = [path("read", served_by), path("write/<name>", write_and_read), path("later/<name>", later)]
