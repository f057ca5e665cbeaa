"""What the ids of tenants look like, and the names that are made from them."""

from __future__ import annotations

import re
from typing import Final

from rdskit.errors import ConfigError

# Ids become names of schemas, databases, roles and secrets, and values of columns whose collation may ignore case.
# Lower-case ASCII compares the same everywhere. PostgreSQL cuts names at 63 bytes, so that long ids could be one name.
_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,46}[a-z0-9])?")
_LONGEST: Final = {"schema": 63, "role": 63}
_SHOWN: Final = 80  # characters of an id that an error quotes
_MARK: Final = "{id}"
SCHEMA: Final = "tenant_{id}"
"""The name of a tenant's schema, where the application gives no other."""


def checked_id(tenant: object) -> str:
    """Return a tenant's id as a text.

    Args:
        tenant: a text, or a whole number.

    Raises:
        ConfigError: other ids could count as the same one somewhere.
    """
    text = str(tenant) if isinstance(tenant, int) and not isinstance(tenant, bool) else tenant
    if not isinstance(text, str) or not _ID.fullmatch(text):
        shown = repr(text[:_SHOWN]) if isinstance(text, str) else f"of type {type(tenant).__name__}"
        raise ConfigError(
            f"tenant id {shown} cannot be used: give 1 to 48 lower-case letters, digits, '_' and '-', with a letter or "
            "digit at both ends, or a whole number"
        )
    return text


def checked_template(name: str, template: str) -> str:
    """Return a template for names.

    Args:
        name: of the argument.
        template: a text with ``{id}`` in it.

    Raises:
        ConfigError: all tenants would get one name, or the template has other marks.
    """
    if template.count(_MARK) != 1 or "{" in template.replace(_MARK, "") or "}" in template.replace(_MARK, ""):
        raise ConfigError(f"{name}={template!r} must hold {_MARK} once, and no other braces: 'tenant_{_MARK}'")
    if len(template.encode()) - len(_MARK) + 48 > _LONGEST.get(name, 2048):
        raise ConfigError(f"{name}={template!r} is too long: PostgreSQL cuts names at 63 bytes, so two could be one")
    return template


def rendered(template: str, tenant: str) -> str:
    """Return the name that a template gives a tenant.

    Args:
        template: as checked.
        tenant: its id.
    """
    return template.replace(_MARK, tenant)
