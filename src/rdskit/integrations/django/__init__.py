"""Django on RDS: backends that find the writer and log in by IAM, and a router that reads from replicas.

DATABASES = {
    "default": {"ENGINE": "rdskit.integrations.django.postgresql", "HOST": "rds://orders", "NAME": "shop",
                "USER": "app", "OPTIONS": {"credentials": "iam"}},
    "reader": {"ENGINE": "rdskit.integrations.django.postgresql", "OPTIONS": {"reader_of": "default"}},
}
DATABASE_ROUTERS = ["rdskit.integrations.django.Router"]
MIDDLEWARE = ["rdskit.integrations.django.read_your_writes", ...]
"""

from rdskit.integrations.django.middleware import read_your_writes
from rdskit.integrations.django.routing import Router, pin, reading_from_replicas

__all__ = ["Router", "pin", "read_your_writes", "reading_from_replicas"]
