"""Alembic revisions and Django migrations of unchanged projects are checked by the SQL that they would send."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rdskit.errors import ConfigError
from rdskit.evolve.migrations.lint import lint_sql
from rdskit.evolve.migrations.lint.projects import alembic_revisions, django_migrations

if TYPE_CHECKING:
    from tests.plugins.postgres import TestDatabase

DJANGO = Path(__file__).resolve().parents[3] / "examples/django_project/manage.py"

INI = """\
[alembic]
script_location = versions_of_shop
sqlalchemy.url = postgresql+psycopg://app@localhost/shop
"""
ENV = """\
from alembic import context

context.configure(url="postgresql+psycopg://app@localhost/shop", literal_binds=True)
with context.begin_transaction():
    context.run_migrations()
"""
FIRST = """\
import sqlalchemy as sa
from alembic import op

revision, down_revision = "aaa1", None


def upgrade():
    op.create_table("users", sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("email", sa.Text))
    op.create_index("users_email", "users", ["email"])
"""
SECOND = """\
from alembic import op

revision, down_revision = "bbb2", "aaa1"


def upgrade():
    op.create_index("users_id", "users", ["id"])
    op.alter_column("users", "email", nullable=False)
"""


@pytest.fixture
def alembic(tmp_path: Path) -> Path:
    versions = tmp_path / "versions_of_shop/versions"
    versions.mkdir(parents=True)
    (tmp_path / "alembic.ini").write_text(INI)
    (tmp_path / "versions_of_shop/env.py").write_text(ENV)
    (versions / "one.py").write_text(FIRST)
    (versions / "two.py").write_text(SECOND)
    return tmp_path / "alembic.ini"


def test_the_revisions_of_an_alembic_project(alembic: Path) -> None:
    first, second = alembic_revisions(alembic)
    assert first.name == "-> aaa1"
    assert lint_sql(first.name, first.sql, "postgres") == []
    assert [each.rule for each in lint_sql(second.name, second.sql, "postgres")] == [
        "index-not-concurrent",
        "set-not-null",
    ]


def test_a_project_that_cannot_be_rendered_is_named(alembic: Path) -> None:
    (alembic.parent / "versions_of_shop/env.py").write_text("raise ValueError('no settings')\n")
    with pytest.raises(ConfigError, match=r"`alembic upgrade --sql` in .* failed: ValueError: no settings"):
        alembic_revisions(alembic)


SETTINGS = """\
import os

DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", **eval(os.environ["SHOP"])}}
INSTALLED_APPS = ["shop"]
SECRET_KEY = "x"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
MANAGE = """\
import os
import sys

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""
NOT_NULL = """\
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
        migrations.AddIndex("order", models.Index(fields=["item"], name="order_item")),
        migrations.AddField("order", "note", models.TextField(null=True)),
    ]
"""


def test_the_migrations_of_a_django_project(
    tmp_path: Path, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = {"HOST": database.host, "PORT": database.port, "USER": database.user, "PASSWORD": database.password}
    monkeypatch.setenv("SHOP", repr({**at, "NAME": database.name}))  # Django asks its database for the version
    (tmp_path / "settings.py").write_text(SETTINGS)
    (tmp_path / "manage.py").write_text(MANAGE)
    shutil.copytree(DJANGO.parent / "shop", tmp_path / "shop")
    (tmp_path / "shop/migrations/0002_index.py").write_text(NOT_NULL)
    first, second = django_migrations(tmp_path / "manage.py")
    assert first.name == "shop.0001_initial"
    assert "CREATE TABLE" in first.sql
    assert lint_sql(first.name, first.sql, "postgres") == []
    assert [each.rule for each in lint_sql(second.name, second.sql, "postgres")] == ["index-not-concurrent"]
