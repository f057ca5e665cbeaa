"""Settings of the project; the outer test says where the databases are."""

from __future__ import annotations

import json
import os

DATABASES = json.loads(os.environ["PROJECT_DATABASES"])
INSTALLED_APPS = ["tests.integrations.django.project.shop"]
MIDDLEWARE = ["rdskit.integrations.django.read_your_writes"]
DATABASE_ROUTERS = ["rdskit.integrations.django.Router"]
ROOT_URLCONF = "tests.integrations.django.project.shop.urls"
SECRET_KEY = "of a test"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ALLOWED_HOSTS = ["*"]
