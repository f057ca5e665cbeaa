from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.db import migrations, models

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def greet(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    alias = schema_editor.connection.alias
    apps.get_model("shop", "Customer").objects.using(alias).filter(name="").update(name="unknown")


class Migration(migrations.Migration):
    dependencies: ClassVar = [("shop", "0001_initial")]
    operations: ClassVar = [
        migrations.AddField("Order", "note", models.TextField(default="")),
        migrations.AddField("Order", "token", models.UUIDField(null=True)),
        migrations.AddConstraint(
            "Order", models.CheckConstraint(condition=models.Q(total__gte=0), name="total_is_positive")
        ),
        migrations.RunPython(greet, migrations.RunPython.noop),
    ]
