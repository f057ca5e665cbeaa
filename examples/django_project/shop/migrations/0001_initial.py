"""The first table."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Orders."""

    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar = [
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("item", models.CharField(max_length=50)),
                ("pieces", models.PositiveIntegerField()),
                ("placed", models.DateTimeField(auto_now_add=True)),
            ],
        ),
    ]
