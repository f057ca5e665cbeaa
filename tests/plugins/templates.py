"""Initialized data directories that all local RDSs of a run share, so that each engine is initialized once a worker."""

from __future__ import annotations

import functools
import secrets
from typing import TYPE_CHECKING

from rdskit.local.control.layout import Layout
from rdskit.local.engines import privilege
from tests.plugins.confidentiality import keep_confidential
from tests.plugins.isolation import run_directory

if TYPE_CHECKING:
    from pathlib import Path


def share_templates(fleet: Path) -> None:
    """Prepare the directory of a fleet that does not exist yet; it makes a template that is not there when it needs it.

    Args:
        fleet: the directory: ``data/fleet`` of a local RDS.
    """
    templates = run_directory() / "templates"
    mode = privilege.current().directory_mode
    templates.mkdir(mode=mode, exist_ok=True)
    Layout(fleet.parent).make()  # only an empty directory becomes a local RDS, or one that is marked as its own
    fleet.mkdir(mode=mode)
    (fleet / "templates").symlink_to(templates)
    # A template holds the password of its superuser, so those who share it have one password.
    secret = fleet / "rdsadmin.secret"
    secret.touch(mode=0o600)
    secret.write_text(_password(), encoding="utf-8")


@functools.cache
def _password() -> str:
    password = secrets.token_urlsafe(24)
    keep_confidential(password)
    return password
