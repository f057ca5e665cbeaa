"""The settings: all that is special is in DATABASES, DATABASE_ROUTERS and MIDDLEWARE."""

import os
import secrets

HOST, NAME = os.environ["SHOP_DATABASE"].rsplit("/", 1)  # rds://orders/shop

DATABASES = {
    "default": {
        "ENGINE": "rdskit.integrations.django.postgresql",
        "HOST": HOST,
        "NAME": NAME,
        "CONN_MAX_AGE": 600,
        "OPTIONS": {"credentials": os.environ.get("SHOP_CREDENTIALS")},
    },
    "reader": {"ENGINE": "rdskit.integrations.django.postgresql", "OPTIONS": {"reader_of": "default"}},
}
DATABASE_ROUTERS = ["rdskit.integrations.django.Router"]
MIDDLEWARE = ["rdskit.integrations.django.read_your_writes"]

INSTALLED_APPS = ["shop"]
ROOT_URLCONF = "shop.urls"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
SECRET_KEY = os.environ.get("SECRET_KEY") or secrets.token_hex()
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
