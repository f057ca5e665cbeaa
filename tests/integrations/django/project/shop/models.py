from __future__ import annotations

from typing import ClassVar

from django.db import models


class Customer(models.Model):
    name = models.CharField(max_length=50, unique=True)
    joined = models.DateTimeField(null=True)
    profile = models.JSONField(default=dict)

    class Meta:
        app_label = "shop"

    def __str__(self) -> str:
        return str(self.name)


class Order(models.Model):
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="orders")
    total = models.DecimalField(max_digits=10, decimal_places=2)
    note = models.TextField(default="")
    token = models.UUIDField(null=True)

    class Meta:
        app_label = "shop"
        constraints: ClassVar = [models.CheckConstraint(condition=models.Q(total__gte=0), name="total_is_positive")]
        indexes: ClassVar = [models.Index(fields=["customer", "total"], name="by_customer")]

    def __str__(self) -> str:
        return f"{self.total} for {self.customer}"
