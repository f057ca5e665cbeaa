"""Place an order, and count orders."""

from django.db.models import Sum
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from .models import Order


@require_POST
def place(request: HttpRequest) -> JsonResponse:
    """Place an order."""
    order = Order.objects.create(item=request.POST["item"], pieces=int(request.POST["pieces"]))
    return JsonResponse({"id": order.pk, "written_to": order._state.db}, status=201)  # noqa: SLF001 - to show where


@require_GET
def orders(_: HttpRequest) -> JsonResponse:
    """How many pieces were ordered of each item: from the replica, unless this browser has just placed an order."""
    found = Order.objects.values("item").annotate(sum=Sum("pieces"))
    return JsonResponse({"orders": {each["item"]: each["sum"] for each in found}, "read_from": found.db})


urlpatterns = [path("", orders), path("place", place), path("orders", orders)]
