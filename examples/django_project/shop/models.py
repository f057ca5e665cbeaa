"""What the shop keeps."""

from django.db import models


class Order(models.Model):
    """One order."""

    item = models.CharField(max_length=50)
    pieces = models.PositiveIntegerField()
    placed = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.pieces} x {self.item}"
